package stubs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// serveServer serves s over loopback TCP and returns a client of it.
func serveServer(t testing.TB, s *stubs.Server) *stubs.ClientConn {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil && err != stubs.ErrServerStopped {
			t.Errorf("Serve = %v", err)
		}
	})
	return dial(t, lis.Addr().String())
}

// TestRegisterService: mistakes of the program panic and are named.
func TestRegisterService(t *testing.T) {
	var nilEcho *echo
	nilHandler := &stubs.ServiceDesc{ServiceName: "n", Methods: []stubs.MethodDesc{{MethodName: "M"}}}
	twice := shapes(func(any, stubs.ServerStream) error { return nil }, true, true)
	twice.Streams = append(twice.Streams, twice.Streams[0])
	for _, tc := range []struct {
		name, want string
		register   func(s *stubs.Server)
	}{
		{"nil", "the implementation is nil", func(s *stubs.Server) { s.RegisterService(&testpb.Test_ServiceDesc, nil) }},
		{"nil pointer", "the implementation is a nil *stubs_test.echo", func(s *stubs.Server) { s.RegisterService(&testpb.Test_ServiceDesc, nilEcho) }},
		{"another type", "*int does not implement testpb.TestServer", func(s *stubs.Server) { s.RegisterService(&testpb.Test_ServiceDesc, new(int)) }},
		{"twice", "registered already", func(s *stubs.Server) {
			testpb.RegisterTestServer(s, new(echo))
			testpb.RegisterTestServer(s, new(echo))
		}},
		{"a method twice", `"/shapes/M": it is registered already`, func(s *stubs.Server) { s.RegisterService(twice, nil) }},
		{"no handler", `method "M" has no handler`, func(s *stubs.Server) { s.RegisterService(nilHandler, nil) }},
		{"after Serve", "before Serve", func(s *stubs.Server) {
			s.Stop()
			testpb.RegisterTestServer(s, new(echo))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := stubs.NewServer()
			defer s.Stop()
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, tc.want) || !strings.HasPrefix(v, "stubs: RegisterService(") {
					t.Errorf("panic = %q, want %q", v, tc.want)
				}
			}()
			tc.register(s)
			t.Error("no panic")
		})
	}
}

func TestGetServiceInfo(t *testing.T) {
	s := stubs.NewServer()
	defer s.Stop()
	testpb.RegisterTestServer(s, new(echo))
	want := map[string]stubs.ServiceInfo{"strata.test.Test": {
		Methods: []stubs.MethodInfo{{Name: "Unary"}, {Name: "ServerStream", IsServerStream: true},
			{Name: "ClientStream", IsClientStream: true}, {Name: "Bidi", IsClientStream: true, IsServerStream: true}},
		Metadata: "layer5_stubs/internal/testpb/test.proto",
	}}
	if d := cmp.Diff(want, s.GetServiceInfo()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// slowly is a hook that tells that it began and ends after d or, if told to
// drain, when it is.
func slowly(began chan<- struct{}, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		began <- struct{}{}
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestShutdownIsGraceful: calls under way end by themselves, new ones are
// refused.
func TestShutdownIsGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		f := newMemFixture(t, &echo{hook: slowly(began, 3*time.Second)}, options{})
		ended := make(chan error, 1)
		go func() { ended <- callOf(t.Context(), f, "unary") }()
		<-began
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the call under way ended with %v", err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 30*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		wantCode(t, callOf(t.Context(), f, "unary"), status.Unavailable)
	})
}

// TestShutdownBecomesHard: when its context ends, calls are cut off and the
// contexts of their handlers end.
func TestShutdownBecomesHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		f := newMemFixture(t, &echo{hook: slowly(began, time.Hour)}, options{})
		ended := make(chan error, 2)
		for _, kind := range []string{"unary", "stream"} {
			go func() { ended <- callOf(t.Context(), f, kind) }()
			<-began
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := f.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v", err)
		}
		wantCode(t, <-ended, status.Unavailable)
		wantCode(t, <-ended, status.Unavailable)
	})
}

// TestDraining: a handler without an end is told that the server drains.
func TestDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{}, 1)
		f := newMemFixture(t, &echo{hook: func(ctx context.Context) error {
			began <- struct{}{}
			<-stubs.Draining(ctx)
			return status.Error(status.Unavailable, "moving on")
		}}, options{})
		ended := make(chan error, 1)
		go func() { ended <- callOf(t.Context(), f, "stream") }()
		<-began
		f.server.GracefulStop()
		wantCode(t, <-ended, status.Unavailable)
	})
}

// TestStopCutsGracefulStopShort: even while only a handler is waited for that
// ignores its context.
func TestStopCutsGracefulStopShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan struct{}, 1), make(chan struct{})
		f := newMemFixture(t, &echo{hook: func(context.Context) error {
			began <- struct{}{}
			<-release
			return nil
		}}, options{server: []stubs.ServerOption{stubs.WaitForHandlers(false)}})
		ctx, cancel := context.WithCancel(t.Context())
		go callOf(ctx, f, "unary")
		<-began
		cancel()
		graceful := make(chan struct{})
		go func() {
			f.server.GracefulStop()
			close(graceful)
		}()
		synctest.Wait()
		select {
		case <-graceful:
			t.Error("GracefulStop did not wait for the handler")
		default:
		}
		f.server.Stop()
		<-graceful
		close(release)
	})
}

// TestServeAfterStop: a server that was stopped does not serve, and closes what
// it was given.
func TestServeAfterStop(t *testing.T) {
	s := stubs.NewServer(stubs.WithLogger(slog.New(slog.DiscardHandler)))
	s.Stop()
	s.Stop()
	s.GracefulStop()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(lis); err != stubs.ErrServerStopped {
		t.Errorf("Serve = %v, want ErrServerStopped", err)
	}
	if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was not closed: %v", err)
	}
	a, b := inproc.Pair(inproc.Config{})
	defer a.Close()
	if err := s.ServeTransport(b); err != stubs.ErrServerStopped {
		t.Errorf("ServeTransport = %v, want ErrServerStopped", err)
	}
}

// TestInProcess: stubs work on a connection that is handed to them.
func TestInProcess(t *testing.T) {
	a, b := inproc.Pair(inproc.Config{})
	s := stubs.NewServer()
	testpb.RegisterTestServer(s, new(echo))
	if err := s.ServeTransport(b); err != nil {
		t.Fatal(err)
	}
	cc, err := stubs.NewClientOn(a)
	if err != nil {
		t.Fatal(err)
	}
	out, err := testpb.NewTestClient(cc).Unary(within(t), &testpb.Request{Text: "inside"})
	if err != nil || out.Text != "inside" {
		t.Errorf("%v, %v", out, err)
	}
	cc.Close()
	s.GracefulStop()
}
