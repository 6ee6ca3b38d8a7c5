package stubs_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// An aged is a server whose connections end, with a client that notes when it
// has made them. It is for bubbles.
type aged struct {
	server *stubs.Server
	cc     *stubs.ClientConn
	client testpb.TestClient
	start  time.Time
	served chan error
	logs   logBuffer // of both

	mu    sync.Mutex
	dials []time.Duration // guarded by mu
}

func newAged(t *testing.T, impl testpb.TestServer, opts ...stubs.ServerOption) *aged {
	t.Helper()
	a := &aged{start: time.Now(), served: make(chan error, 1)}
	logger := slog.New(slog.NewTextHandler(&a.logs, nil))
	a.server = stubs.NewServer(append(opts, stubs.WithLogger(logger))...)
	testpb.RegisterTestServer(a.server, impl)
	lis := memconn.Listen()
	go func() { a.served <- a.server.Serve(lis) }()
	var err error
	a.cc, err = stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithLogger(logger),
		stubs.WithKeepaliveParams(keepalive.Params{Time: time.Minute, PermitWithoutStream: true}),
		stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			a.mu.Lock()
			a.dials = append(a.dials, a.now())
			a.mu.Unlock()
			return lis.Dial(ctx)
		}))
	if err != nil {
		t.Fatal(err)
	}
	a.client = testpb.NewTestClient(a.cc)
	return a
}

func (a *aged) now() time.Duration { return time.Since(a.start) }

func (a *aged) call(ctx context.Context) error {
	_, err := a.client.Unary(ctx, &testpb.Request{})
	return err
}

func (a *aged) end() {
	a.cc.Close()
	a.server.Stop()
	<-a.served
}

// lasting is a service whose calls last so long, or until they are cut off, which
// tells cause why.
func lasting(d time.Duration, cause chan<- error) *echo {
	return &echo{hook: func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			if _, limited := ctx.Deadline(); !limited {
				cause <- context.Cause(ctx)
			}
			return ctx.Err()
		}
	}}
}

// An age of an hour is one between 54 and 66 minutes.
const minAge, maxAge = 54 * time.Minute, 66 * time.Minute

// permit lets clients send PINGs without calls.
var permit = stubs.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true})

// TestCallAtMaxConnectionAge: a call under way when its connection is old ends
// well if there is no grace or it ends within it, and else is cut off after it.
// Meanwhile other calls go over the next connection.
func TestCallAtMaxConnectionAge(t *testing.T) {
	for _, tc := range []struct {
		name        string
		grace, call time.Duration
		cut         bool
	}{
		{"without a grace", 0, 24 * time.Hour, false},
		{"within the grace", 20 * time.Minute, 70 * time.Minute, false},
		{"after the grace", time.Minute, 24 * time.Hour, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cause := make(chan error, 1)
				a := newAged(t, lasting(tc.call, cause), stubs.MaxConnectionAge(time.Hour, tc.grace), permit)
				defer a.end()
				result := make(chan error, 1)
				go func() { result <- a.call(t.Context()) }()
				time.Sleep(maxAge)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				wantCode(t, a.call(ctx), status.DeadlineExceeded) // it has reached a handler
				cancel()
				if len(a.dials) != 2 {
					t.Errorf("connections were made at %v, want two", a.dials)
				}
				err := <-result
				if !tc.cut {
					if at := a.now(); err != nil || at != tc.call {
						t.Errorf("the call ended after %v with %v", at, err)
					}
					return
				}
				if at := a.now(); at < minAge+tc.grace || at > maxAge+tc.grace+time.Second {
					t.Errorf("the call was cut off after %v", at)
				}
				wantCode(t, err, status.Unavailable)
				if !strings.Contains(err.Error(), `"max_age"`) {
					t.Errorf("the client learned %q, want max_age", err)
				}
				const want = "the 1m0s that its calls had to end are over (MaxConnectionAge and MaxConnectionAgeGrace)"
				if why := fmt.Sprint(<-cause); !strings.Contains(why, want) {
					t.Errorf("the handler's context ended because of %v, want one that says %q", why, want)
				}
			})
		})
	}
}

// TestCallsOverManyConnections: a call every minute, for a day of connections of
// an hour. None fails, each connection is as old as it may be, and nobody is warned.
func TestCallsOverManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAged(t, &echo{}, stubs.MaxConnectionAge(time.Hour, time.Minute), permit)
		defer a.end()
		for a.now() < 24*time.Hour {
			if err := a.call(t.Context()); err != nil {
				t.Fatalf("the call after %v failed: %v", a.now(), err)
			}
			time.Sleep(time.Minute)
		}
		ages := map[time.Duration]bool{}
		for i := 1; i < len(a.dials); i++ {
			age := a.dials[i] - a.dials[i-1]
			ages[age] = true
			if age < minAge || age > maxAge+time.Minute {
				t.Errorf("connection %d was %v old", i, age)
			}
		}
		if len(a.dials) < 21 || len(ages) < 3 {
			t.Errorf("connections were made at %v: too few, or all of the same age", a.dials)
		}
		if logs := a.logs.String(); logs != "" {
			t.Errorf("it was logged that\n%s", logs)
		}
	})
}

// TestMaxConnectionIdle: PINGs are no calls and do not keep a connection, an open
// stream does, and the next call makes a connection again.
func TestMaxConnectionIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = 8 * time.Minute
		a := newAged(t, &echo{}, stubs.MaxConnectionIdle(idle), permit)
		defer a.end()
		ends := func(what string) {
			t.Helper()
			start := time.Now()
			a.cc.WaitForStateChange(t.Context(), connectivity.Ready)
			if got, state := time.Since(start), a.cc.GetState(); state != connectivity.Idle || got < idle || got > idle*11/10 {
				t.Errorf("%s: the channel was %v after %v, want IDLE after %v", what, state, got, idle)
			}
		}
		if err := a.cc.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends("without a call")
		if err := a.call(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends("after a call")
		stream, err := a.client.Bidi(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if state := a.cc.GetState(); state != connectivity.Ready {
			t.Errorf("the channel is %v while a stream is open", state)
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		stream.Recv()
		stream.Close()
		ends("after a stream")
		if len(a.dials) != 3 {
			t.Errorf("connections were made at %v, want three", a.dials)
		}
	})
}

// TestShutdownOfOldConnections: a server that shuts down gracefully before, while
// and after its connection is told to go waits for the call on it, and not
// longer than its grace.
func TestShutdownOfOldConnections(t *testing.T) {
	const grace = time.Minute
	for _, at := range []time.Duration{0, 30 * time.Minute, minAge + grace/2, maxAge + grace/2} {
		synctest.Test(t, func(t *testing.T) {
			cause := make(chan error, 1)
			a := newAged(t, lasting(24*time.Hour, cause), stubs.MaxConnectionAge(time.Hour, grace), stubs.WaitForHandlers(true), permit)
			result := make(chan error, 1)
			go func() { result <- a.call(t.Context()) }()
			time.Sleep(at)
			synctest.Wait()
			if err := a.server.Shutdown(context.Background()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if end := a.now(); end < max(at, minAge+grace) || end > max(at, maxAge+grace) {
				t.Errorf("Shutdown after %v took until %v", at, end)
			}
			wantCode(t, <-result, status.Unavailable)
			if why := fmt.Sprint(<-cause); !strings.Contains(why, "MaxConnectionAgeGrace") {
				t.Errorf("the handler's context ended because of %v", why)
			}
			a.end()
		})
	}
}

func TestBadAges(t *testing.T) {
	for name, opt := range map[string]stubs.ServerOption{
		"MaxConnectionAge is -1ns, want more than 0, or 0 for no bound":      stubs.MaxConnectionAge(-1, 0),
		"MaxConnectionAgeGrace is 1s and MaxConnectionAge is 0, want an age": stubs.MaxConnectionAge(0, time.Second),
		"MaxConnectionAgeGrace is -1s, want more than 0":                     stubs.MaxConnectionAge(time.Hour, -time.Second),
		"MaxConnectionIdle is -1h0m0s, want more than 0":                     stubs.MaxConnectionIdle(-time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, `filter "max_age": option `+name) {
					t.Errorf("NewServer panicked with %q", p)
				}
			}()
			stubs.NewServer(opt)
		})
	}
}

// TestServerThatAlwaysLeaves: a server that greets each connection and leaves at
// once is tried a few times for the calls that wait, and then as one that cannot be
// reached. When it has come to its senses the calls are made.
func TestServerThatAlwaysLeaves(t *testing.T) {
	leaves := framescript.MustParse("script", "server\nsend SETTINGS\nsend GOAWAY last=0 debug=busy\nclose")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server, lis := serveMem(&echo{})
		defer server.Stop()
		var mu sync.Mutex
		var dials []time.Duration
		cc := dial(t, "memory", stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dials = append(dials, time.Since(start))
			if time.Since(start) > time.Minute {
				return lis.Dial(ctx)
			}
			ours, theirs := memconn.Pipe()
			_, err := leaves.Run(ctx, theirs, framescript.Options{})
			return ours, err
		}))
		client := testpb.NewTestClient(cc)
		_, err := client.Unary(t.Context(), &testpb.Request{})
		wantCode(t, err, status.Unavailable)
		if !strings.Contains(fmt.Sprint(err), `GOAWAY NO_ERROR "busy"`) || time.Since(start) > 0 {
			t.Errorf("after %v the call ended with %v", time.Since(start), err)
		}
		mu.Lock()
		if n := len(dials); n != 11 {
			t.Errorf("%d connections were made for it, want 11", n)
		}
		mu.Unlock()
		if _, err = client.Unary(t.Context(), &testpb.Request{}, stubs.WaitForReady(true)); err != nil {
			t.Errorf("a call that waits ended with %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if n := len(dials); n < 13 || n > 21 || dials[n-1] > 3*time.Minute {
			t.Errorf("connections were made at %v, want a few in the minute and one after it", dials)
		}
		cc.Close()
	})
}
