package http2_test

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/faultconn"
)

// TestContractOverPieces: no boundary between two reads or writes means
// anything to HTTP/2, and no wait.
func TestContractOverPieces(t *testing.T) {
	seeds := 8
	if testing.Short() {
		seeds = 2
	}
	for seed := range uint64(seeds) {
		plan, peers := faultconn.Benign(seed), faultconn.Benign(seed+1000)
		var lacks []transporttest.Capability
		for _, side := range []faultconn.Side{plan.Read, plan.Write, peers.Read, peers.Write} {
			if testing.Short() || side.MaxChunk > 0 && side.MaxChunk < 100 {
				lacks = []transporttest.Capability{transporttest.Bulk, transporttest.FlowControl}
			}
		}
		t.Run(plan.String(), func(t *testing.T) {
			transporttest.RunInBubbles(t, func(t testing.TB, o transporttest.Options) (client, server transport.Transport) {
				c, s := faultconn.Pipe(plan, peers)
				return connected(t, c, s, o)
			}, lacks...)
		})
	}
}
