package inproc_test

import (
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
)

func pair(_ testing.TB, o transporttest.Options) (client, server transport.Transport) {
	return inproc.Pair(inproc.Config{MaxConcurrentStreams: int(o.MaxConcurrentStreams)})
}

func TestContract(t *testing.T) {
	transporttest.Run(t, pair)
}

// TestContractInBubbles runs the cases in one bubble after another, so that
// nothing can be shared between bubbles.
func TestContractInBubbles(t *testing.T) {
	transporttest.RunInBubbles(t, pair)
}
