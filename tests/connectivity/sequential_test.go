package connectivity

import (
	"runtime"
	"slices"
	"testing"

	connectivity "github.com/strata-grpc/strata/layer1_transport/connectivity"
	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	trace "github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// connections is how many channels gRPC core's test connects. With -short it is
// a quarter.
const connections = 100

// TestSequentialConnectivity is sequential_connectivity_test: channels to one
// server become READY one after another and are all kept; then they end.
func TestSequentialConnectivity(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options func(t *testing.T) (client, server surface.Option)
		traced  bool
	}{
		{"insecure", insecure, false},
		{"insecure, traced", insecure, true},
		{"secure", secure, false},
		{"secure, traced", secure, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, server := tc.options(t)
			addr := realServer(t, server)
			before := runtime.NumGoroutine()
			q := cq.New(cq.Next, cq.Config{Debug: true})
			n := connections
			if testing.Short() {
				n /= 4
			}
			all := make([]*surface.Channel, n)
			for i := range all {
				opts := []surface.ChannelOption{client}
				rec := trace.NewRecorder(trace.LevelEvents)
				if tc.traced {
					opts = append(opts, surface.WithTrace(rec.Endpoint("client", "server")))
				}
				all[i] = newChannel(t, addr, opts...)
				connect(t, all[i], q)
				if tc.traced {
					wantStates(t, rec, "IDLE to CONNECTING", "CONNECTING to READY")
				}
			}
			for i, ch := range all {
				if s := ch.State(false); s != connectivity.Ready {
					t.Errorf("channel %d is %v, want READY", i, s)
				}
				ch.Close()
				if n := ch.NumWatchers(); n != 0 {
					t.Errorf("channel %d has %d watchers after Close", i, n)
				}
			}
			q.Shutdown()
			wantGoroutines(t, before)
		})
	}
}

func insecure(*testing.T) (client, server surface.Option) {
	o := surface.WithCredentials(credentials.NewInsecure())
	return o, o
}

// wantStates checks which changes of state were recorded.
func wantStates(t *testing.T, rec *trace.Recorder, want ...string) {
	t.Helper()
	var got []string
	for _, e := range rec.Events() {
		if e.Op == "connectivity" {
			got = append(got, e.Text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the trace has the states %q, want %q", got, want)
	}
}
