package peers

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpckeepalive "google.golang.org/grpc/keepalive"

	connectivity "github.com/strata-grpc/strata/layer1_transport/connectivity"
	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	keepalive "github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	memconn "github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A dialLog is the way to a listener, which notes when it was taken.
type dialLog struct {
	lis   *memconn.Listener
	start time.Time
	times []time.Duration
}

func (d *dialLog) dial(ctx context.Context, _ string) (net.Conn, error) {
	d.times = append(d.times, time.Since(d.start))
	return d.lis.Dial(ctx)
}

// TestKeepaliveToGRPCGo: a server of grpc-go ends the connection of a client
// that asks too often, and Strata's then asks half as often, until it fits.
func TestKeepaliveToGRPCGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := &dialLog{lis: memconn.Listen(), start: time.Now()}
		s := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(grpckeepalive.EnforcementPolicy{MinTime: 15 * time.Second, PermitWithoutStream: true}))
		served := make(chan error, 1)
		go func() { served <- s.Serve(way.lis) }()
		cc, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithContextDialer(way.dial),
			stubs.WithKeepaliveParams(keepalive.Params{Time: 10 * time.Second, PermitWithoutStream: true}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		for cc.Ready(ctx) == nil && cc.WaitForStateChange(ctx, connectivity.Ready) {
		}
		if len(way.times) != 2 || way.times[1] != 40*time.Second {
			t.Errorf("connections began at %v, want the second at 40s and no third", way.times)
		}
		cc.Close()
		s.Stop()
		<-served
	})
}

// TestKeepaliveFromGRPCGo: the same the other way round.
func TestKeepaliveFromGRPCGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		way := &dialLog{lis: memconn.Listen(), start: time.Now()}
		s := stubs.NewServer(stubs.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 15 * time.Second, PermitWithoutStream: true}))
		served := make(chan error, 1)
		go func() { served <- s.Serve(way.lis) }()
		cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(way.dial), grpc.WithIdleTimeout(0),
			grpc.WithKeepaliveParams(grpckeepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}))
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
			cc.Connect()
		}
		if len(way.times) != 2 || way.times[1] < 40*time.Second || way.times[1] > 42*time.Second {
			t.Errorf("connections began at %v, want the second at about 40s and no third", way.times)
		}
		cc.Close()
		s.Stop()
		<-served
	})
}

// TestPingsToGRPCGo: PINGs that an application asks for do not become abuse at
// a server with the default policy, after calls or without any.
func TestPingsToGRPCGo(t *testing.T) {
	srv := grpcGoLib{}.serve(t, handlers{}, serverOptions{})
	dials := 0
	cc, err := stubs.NewClient("passthrough:///"+srv.addr, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx := testContext(t)
	for i := range 100 {
		if err := cc.Invoke(ctx, unaryMethod, &message{Value: []byte("x")}, new(message)); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		if err := cc.Channel().Ping(ctx); err != nil {
			t.Fatalf("the ping after call %d: %v", i, err)
		}
	}
	refused := 0
	for range 100 {
		if err := cc.Channel().Ping(ctx); status.CodeOf(err) == status.ResourceExhausted {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused < 97 {
		t.Errorf("of 100 pings without calls %d were refused", refused)
	}
	if err := cc.Invoke(ctx, unaryMethod, &message{Value: []byte("x")}, new(message)); err != nil || dials != 1 {
		t.Errorf("a call after them: %v; %d connections, want 1", err, dials)
	}
}
