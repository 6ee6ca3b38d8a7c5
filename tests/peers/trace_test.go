package peers

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// catalogue is what layers 0 and 1 tell of, as the doc of package trace says.
var catalogue = map[string]string{
	"socket": "dial accept tls read write close",
	"http2": "preface settings frame hpack stream.state flow.window flow.blocked flow.unblocked " +
		"ping.rtt bdp goaway conn.state writer.batch",
}

// TestTraceCatalogue: a call over TLS whose messages are longer than its windows
// and a graceful end bring every event of layers 0 and 1. Each cause came before.
func TestTraceCatalogue(t *testing.T) {
	id := newIdentity(t)
	rec := trace.NewRecorder(trace.LevelEvents)
	narrow := http2.Config{StreamWindow: 1 << 16, ConnWindow: 1 << 16, MaxStreamWindow: 4 << 20, MaxConnWindow: 16 << 20}
	s := stubs.NewServer(stubs.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{id.cert}})),
		stubs.WithTrace(rec.Endpoint("server", "client")), stubs.WithHTTP2(narrow))
	s.RegisterService(strataDesc(handlers{}), nil)
	lis := listen(t, "")
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	cc, err := stubs.NewClient("passthrough:///"+lis.Addr().String(),
		stubs.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: certName})),
		stubs.WithTrace(rec.Endpoint("client", "server")), stubs.WithHTTP2(narrow))
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
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Serve to return", ended); err != nil {
		t.Error(err)
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, r := range rec.Events() {
		seen[r.Component+" "+r.Op] = true
		if r.Cause >= r.ID {
			t.Errorf("event %d, %s %s, has the later cause %d", r.ID, r.Component, r.Op, r.Cause)
		}
	}
	for component, ops := range catalogue {
		for op := range strings.FieldsSeq(ops) {
			if !seen[component+" "+op] {
				t.Errorf("no event %s %s", component, op)
			}
		}
	}
}
