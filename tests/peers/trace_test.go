package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// catalogue reads the events from the doc of package trace, each as "component
// op": a line there names a component and its ops, and after two spaces says what
// they are.
func catalogue(t *testing.T) map[string]bool {
	t.Helper()
	doc, err := os.ReadFile("../../layer1_transport/trace/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	events := map[string]bool{}
	listed := false
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "// # ") {
			listed = strings.Contains(line, "Events of layer")
		}
		words, isLine := strings.CutPrefix(line, "//\t")
		if !listed || !isLine {
			continue
		}
		words, _, _ = strings.Cut(words, "  ") // two spaces end the names
		names := strings.Fields(words)
		for _, op := range names[1:] {
			events[names[0]+" "+op] = true
		}
	}
	if len(events) < 30 {
		t.Fatalf("the doc of package trace names %d events", len(events))
	}
	return events
}

// TestTraceCatalogue: a call over TLS whose messages are longer than its windows,
// a graceful end, and calls without stubs bring every event of layers 0 to 4 that
// the doc of package trace names, and no others, but for those of single filters.
// Each cause came before.
func TestTraceCatalogue(t *testing.T) {
	id := newIdentity(t)
	rec := trace.NewRecorder(trace.LevelEvents)
	narrow := http2.Config{StreamWindow: 1 << 16, ConnWindow: 1 << 16, MaxStreamWindow: 4 << 20, MaxConnWindow: 16 << 20}
	s := stubs.NewServer(stubs.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{id.cert}})),
		stubs.WithTrace(rec.Endpoint("server", "client")), stubs.WithHTTP2(narrow),
		stubs.ServerAuth(stubs.ServerAuthConfig{Process: refuseMissing}))
	s.RegisterService(strataDesc(handlers{}), nil)
	lis := listen(t, "")
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	cc, err := stubs.NewClient("passthrough:///"+lis.Addr().String(),
		stubs.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: certName})),
		stubs.WithTrace(rec.Endpoint("client", "server")), stubs.WithHTTP2(narrow),
		stubs.WithPerRPCCredentials(credentials.NewBearerToken("token")),
		stubs.WithFaultInjection(stubs.FaultInjectionConfig{DelayPercent: 100, AbortPercent: 100, Headers: true}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	long := &message{Value: make([]byte, 1<<20)}
	for range 3 {
		out := new(message)
		if err := cc.Invoke(ctx, "/"+serviceName+"/"+unaryName, long, out); err != nil {
			t.Fatal(err)
		}
	}
	if err := cc.Invoke(ctx, missing, long, new(message)); status.CodeOf(err) != status.PermissionDenied {
		t.Errorf("a call that the server's hook refuses: %v", err)
	}
	faulty := metadata.AppendToOutgoingContext(ctx, faultinjection.HeaderDelay, "1", faultinjection.HeaderAbort, "5")
	if err := cc.Invoke(faulty, missing, long, new(message)); status.CodeOf(err) != status.NotFound {
		t.Errorf("a call that asks for a fault: %v", err)
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Serve to return", ended); err != nil {
		t.Error(err)
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	rawCalls(t, rec)
	want, seen := catalogue(t), map[string]bool{}
	for _, r := range rec.Events() {
		component, _, _ := strings.Cut(r.Component, ":") // the queue's or filter's own name
		own, event := r.Component+" "+r.Op, component+" "+r.Op
		if !seen[own] && !want[own] && !want[event] && r.Layer < 5 && r.Op != trace.OpRole {
			t.Errorf("the doc of package trace does not name the event %s", own)
		}
		seen[own], seen[event] = true, true
		if r.Cause >= r.ID {
			t.Errorf("event %d, %s %s, has the later cause %d", r.ID, r.Component, r.Op, r.Cause)
		}
	}
	for event := range want {
		if !seen[event] && !strings.HasPrefix(event, "filter:") {
			t.Errorf("no event %s", event)
		}
	}
}

// missing is a method that the server of TestTraceCatalogue lets nobody call.
const missing = "/" + serviceName + "/Missing"

func refuseMissing(_ context.Context, r *stubs.AuthRequest) error {
	if r.Path == missing {
		return status.Error(status.PermissionDenied, "nobody may call it")
	}
	return nil
}

// rawCalls makes calls in-process, without stubs: with every kind of queue, a
// deadline that comes, a cancellation and a batch that is refused.
func rawCalls(t *testing.T, rec *trace.Recorder) {
	t.Helper()
	client, server := rec.Endpoint("raw client", "raw server"), rec.Endpoint("raw server", "raw client")
	s := surface.NewServer(surface.WithTrace(server))
	requests := cq.New(cq.Next, cq.Config{Observer: surface.NewQueueObserver(server)})
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	ch, err := surface.NewDirectChannel(clientEnd, surface.WithTrace(client))
	if err := errors.Join(err, s.RegisterCompletionQueue(requests), s.ServeTransport(serverEnd)); err != nil {
		t.Fatal(err)
	}
	if fault := s.RequestCall(new(surface.RequestedCall), nil, requests, "request"); fault != surface.CallOK {
		t.Fatal(fault)
	}
	call := func(p surface.CallParams) surface.Call {
		p.Method = "/raw/Call"
		c, err := ch.CreateCall(p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	all := []surface.Op{{Type: surface.SendInitialMetadata}, {Type: surface.RecvStatusOnClient}}
	timed := call(surface.CallParams{Deadline: time.Now().Add(50 * time.Millisecond)})
	timed.StartBatch(all, "timed")
	timed.Pluck("timed", nil)
	callbacks := cq.New(cq.Callback, cq.Config{Observer: surface.NewQueueObserver(client)})
	cancelled := call(surface.CallParams{Queue: callbacks})
	ran := make(functor, 1)
	cancelled.StartBatch(all, ran)
	cancelled.StartBatch(all, ran) // once too often
	cancelled.Cancel()
	<-ran
	timed.Release()
	cancelled.Release()
	ch.Close()
	s.Close()
	requests.Shutdown()
	for requests.Next(time.Time{}).Type != cq.QueueShutdown {
	}
}

// A functor tells that it ran.
type functor chan bool

func (f functor) Run(ok bool) { f <- ok }
