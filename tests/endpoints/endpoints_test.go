package endpoints

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// patience is what a test waits for something that must come.
const patience = 20 * time.Second

// TestMain runs the tests without the proxies of whoever runs them.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

var quiet = surface.WithLogger(slog.New(slog.DiscardHandler))

// A server answers each call with OK and notes who called.
type server struct {
	*surface.Server
	t     *testing.T
	calls chan seen
}

// seen is what a server sees of a call.
type seen struct {
	host string
	peer *peer.Peer
}

func newServer(t *testing.T, opts ...surface.ServerOption) *server {
	s := &server{surface.NewServer(append(opts, quiet)...), t, make(chan seen, 100)}
	q := cq.New(cq.Next, cq.Config{})
	if err := s.RegisterCompletionQueue(q); err != nil {
		t.Fatal(err)
	}
	s.Start()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s.answer(q)
	}()
	t.Cleanup(func() {
		s.Close()
		<-answered
		q.Drain()
	})
	return s
}

// answer answers one call after another until the server ends.
func (s *server) answer(q *cq.Queue) {
	var req surface.RequestedCall
	for {
		if e := s.RequestCall(&req, nil, q, "call"); e != surface.CallOK {
			s.t.Errorf("RequestCall: %v", e)
			return
		}
		if !q.Next(time.Time{}).Success {
			return
		}
		s.calls <- seen{req.Details.Host, req.Call.Peer()}
		req.Call.StartBatch([]surface.Op{{Type: surface.SendStatusFromServer, Status: status.New(status.OK, "")}}, "status")
		req.Call.Pluck("status", nil)
		req.Call.Release()
	}
}

// serve serves lis until the test ends.
func (s *server) serve(lis net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	s.t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
	})
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}

func port(lis net.Listener) string { return fmt.Sprint(lis.Addr().(*net.TCPAddr).Port) }

// call makes one call over a channel of its own and returns its end.
func call(t *testing.T, target string, creds credentials.TransportCredentials, opts ...surface.ChannelOption) surface.CallStatus {
	t.Helper()
	if creds == nil {
		creds = credentials.NewInsecure()
	}
	ch, err := surface.NewChannel(target, append(opts, surface.WithCredentials(creds), quiet)...)
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	return callOn(t, ch)
}

func callOn(t *testing.T, ch *surface.Channel) (end surface.CallStatus) {
	t.Helper()
	c, err := ch.CreateCall(surface.CallParams{Method: "/foo", Deadline: time.Now().Add(patience)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var trailers metadata.List
	c.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata}, {Type: surface.SendCloseFromClient},
		{Type: surface.RecvStatusOnClient, RecvMetadata: &trailers, StatusResult: &end},
	}, "call")
	c.Pluck("call", nil)
	return end
}

// wantOK checks that a call was served, and by s.
func wantOK(t *testing.T, s *server, end surface.CallStatus) seen {
	t.Helper()
	if end.Code != status.OK {
		t.Fatalf("status = %v %q", end.Code, end.Message)
	}
	select {
	case c := <-s.calls:
		return c
	default:
		t.Fatal("another server has answered")
		return seen{}
	}
}
