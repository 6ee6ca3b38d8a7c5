package stress

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	connectivity "github.com/strata-grpc/strata/layer1_transport/connectivity"
	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	backoff "github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// callersPerChannel are the callers that make calls on one channel.
const callersPerChannel = 6

// quiet drops what the library logs, which is a lot when all goes wrong.
func quiet() stubs.Option { return stubs.WithLogger(slog.New(slog.DiscardHandler)) }

// A channel is one that callers share.
type channel struct {
	*stubs.ClientConn
	closing atomic.Bool // Close was called, or is about to be
}

// dial returns a channel that comes back soon after a failure.
func dial(t *testing.T, target string, opts ...stubs.DialOption) *stubs.ClientConn {
	t.Helper()
	cc, err := stubs.NewClient(target, append(opts, quiet(),
		stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithConnectParams(stubs.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.2, MaxDelay: 100 * time.Millisecond},
		}))...)
	if err != nil {
		t.Error(err)
	}
	return cc
}

// someLate holds one call of twenty back, so that what ends calls finds some that have
// not begun.
var someLate = stubs.FaultInjectionConfig{Delay: 20 * time.Millisecond, DelayPercent: 5, MaxActive: 4}

// useChannels makes calls on one channel after the other, until end. Half of
// the channels are closed while calls are under way.
func useChannels(v *verdict, name, addr string, cut *cutter, end time.Time) {
	for n := 0; time.Now().Before(end); n++ {
		cc := dial(v.t, addr, stubs.WithContextDialer(cut.dial), stubs.WithFaultInjection(someLate))
		if cc == nil {
			return
		}
		ch := &channel{ClientConn: cc}
		var callers sync.WaitGroup
		stop := time.Now().Add(500*time.Millisecond + rand.N(1500*time.Millisecond))
		for id := range callersPerChannel {
			callers.Go(func() { makeCalls(v, ch, fmt.Sprintf("%s/%d/%d", name, n, id), stop) })
		}
		if rand.IntN(2) == 0 {
			callers.Wait()
		} else {
			time.Sleep(rand.N(800 * time.Millisecond))
		}
		ch.closing.Store(true)
		if err := cc.Close(); err != nil {
			v.fault("Close: %v", err)
		}
		callers.Wait()
		if got := cc.GetState(); got != connectivity.Shutdown {
			v.fault("after Close the channel is %v", got)
		}
		newCall(v, ch, fmt.Sprintf("%s/%d/closed", name, n)).run()
	}
}

// makeCalls makes one call after the other, until stop or the end of
// the channel.
func makeCalls(v *verdict, ch *channel, name string, stop time.Time) {
	for n := 0; time.Now().Before(stop) && !ch.closing.Load(); n++ {
		newCall(v, ch, fmt.Sprintf("%s/%d", name, n)).run()
	}
}
