package stubs_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestTooManyPings: each time that a server has had enough of the keepalive
// PINGs, the channel's next connection sends half as many, until the server
// is content. Each step is one warning.
func TestTooManyPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		quiet := stubs.WithLogger(slog.New(slog.DiscardHandler))
		s := stubs.NewServer(quiet, stubs.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 45 * time.Second, PermitWithoutStream: true}))
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		start, dials := time.Now(), []time.Duration(nil)
		var log bytes.Buffer // written by the channel one line at a time
		cc, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()),
			stubs.WithKeepaliveParams(keepalive.Params{Time: 10 * time.Second, PermitWithoutStream: true}),
			stubs.WithIdleTimeout(0), // there are no calls
			stubs.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				dials = append(dials, time.Since(start))
				return lis.Dial(ctx)
			}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		for cc.Ready(ctx) == nil && cc.WaitForStateChange(ctx, connectivity.Ready) {
		}
		cancel()
		if last := cc.GetState(); last != connectivity.Ready {
			t.Errorf("after an hour the state is %v", last)
		}
		cc.Close()
		// A connection ends with its fourth PING: after 40, 80 and 160 s.
		if want := []time.Duration{0, 40 * time.Second, 120 * time.Second, 280 * time.Second}; !slices.Equal(dials, want) {
			t.Errorf("connections began at %v, want %v", dials, want)
		}
		steps := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "half as often") {
				steps++
				if want := []string{"new_time=20s", "new_time=40s", "new_time=1m20s"}[min(steps, 3)-1]; !strings.Contains(line, want) || !strings.Contains(line, "level=WARN") {
					t.Errorf("step %d is logged as %q, want %s", steps, line, want)
				}
			}
		}
		if steps != 3 {
			t.Errorf("%d steps were logged:\n%s", steps, log.String())
		}
		s.Stop()
		<-served
	})
}

// TestKeepaliveOfServer: a server gives up a client that has gone without a
// word, and its handler learns of it. Never is never.
func TestKeepaliveOfServer(t *testing.T) {
	for _, tc := range []struct {
		params keepalive.Params
		ends   time.Duration // 0: not within a day
	}{
		{keepalive.Params{}, 2*time.Hour + 20*time.Second},
		{keepalive.Params{Time: time.Minute, Timeout: time.Second}, 61 * time.Second},
		{keepalive.Params{Time: keepalive.Never}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			lis := memconn.Listen()
			s := stubs.NewServer(stubs.KeepaliveParams(tc.params), stubs.WithLogger(slog.New(slog.DiscardHandler)))
			ended := make(chan time.Time, 1)
			testpb.RegisterTestServer(s, &echo{hook: func(ctx context.Context) error {
				<-ctx.Done()
				ended <- time.Now()
				return context.Cause(ctx)
			}})
			served := make(chan error, 1)
			go func() { served <- s.Serve(lis) }()
			var dead *deafConn
			cc, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()),
				stubs.WithLogger(slog.New(slog.DiscardHandler)),
				stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					nc, err := lis.Dial(ctx)
					dead = &deafConn{Conn: nc, silent: make(chan struct{})}
					return dead, err
				}))
			if err != nil {
				t.Fatal(err)
			}
			called := make(chan error, 1)
			go func() {
				_, err := testpb.NewTestClient(cc).Unary(context.Background(), &testpb.Request{})
				called <- err
			}()
			synctest.Wait()
			start := time.Now()
			close(dead.silent)
			select {
			case at := <-ended:
				if got := at.Sub(start); got != tc.ends {
					t.Errorf("%+v: the handler was told after %v, want %v", tc.params, got, tc.ends)
				}
			case <-time.After(24 * time.Hour):
				if tc.ends != 0 {
					t.Errorf("%+v: the handler was not told in a day", tc.params)
				}
			}
			cc.Close()
			if err := <-called; status.CodeOf(err) == status.OK {
				t.Error("the call has succeeded")
			}
			s.Stop()
			<-served
		})
	}
}

// A deafConn writes nothing any more once it is silent, as without power.
type deafConn struct {
	net.Conn
	silent chan struct{} // closed
}

func (c *deafConn) Write(p []byte) (int, error) {
	select {
	case <-c.silent:
		return len(p), nil
	default:
		return c.Conn.Write(p)
	}
}
