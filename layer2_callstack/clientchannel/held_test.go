package clientchannel

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// TestHeldTwice: a second cancel means nothing; any other operation that is outstanding
// was started against the rules.
func TestHeldTwice(t *testing.T) {
	var h heldBatches
	first := &transport.StreamOpBatch{Ops: transport.OpCancelStream}
	h.add(first)
	h.add(&transport.StreamOpBatch{Ops: transport.OpCancelStream})
	if got := h.take(); got != first || h.take() != nil {
		t.Errorf("take gives %p, want the first cancel %p alone", got, first)
	}
	h.add(&transport.StreamOpBatch{Ops: transport.OpRecvMessage})
	defer func() {
		if p := recover(); p == nil {
			t.Error("a second recv_message was held")
		}
	}()
	h.add(&transport.StreamOpBatch{Ops: transport.OpRecvMessage})
}

// TestOrderOfHeldBatches: in which order batches that waited are passed on, and
// failed, whatever the order in which they came.
func TestOrderOfHeldBatches(t *testing.T) {
	const (
		sim, sm, end = transport.OpSendInitialMetadata, transport.OpSendMessage, transport.OpSendTrailingMetadata
		rm, rtm      = transport.OpRecvMessage, transport.OpRecvTrailingMetadata
		cancel       = transport.OpCancelStream
	)
	for _, tc := range []struct {
		name         string
		held         []transport.OpSet
		take, failed string
	}{
		{"the stream begins with its headers", []transport.OpSet{rm, sim},
			"send_initial_metadata, recv_message", "send_initial_metadata, recv_message"},
		{"a cancel comes before what was started after it", []transport.OpSet{sim, cancel, end},
			"cancel_stream, send_initial_metadata, send_trailing_metadata",
			"send_initial_metadata, send_trailing_metadata, cancel_stream"},
		{"a message comes before an end that goes with the headers", []transport.OpSet{sm, sim | end},
			"send_message, send_initial_metadata send_trailing_metadata",
			"send_initial_metadata send_trailing_metadata, send_message"},
		{"the end of the call fails last", []transport.OpSet{rtm, rm, sim},
			"send_initial_metadata, recv_message, recv_trailing_metadata",
			"send_initial_metadata, recv_message, recv_trailing_metadata"},
		{"the end of the call fails last with others in its batch", []transport.OpSet{sim | rtm, rm},
			"send_initial_metadata recv_trailing_metadata, recv_message",
			"recv_message, send_initial_metadata recv_trailing_metadata"},
	} {
		for _, how := range []struct {
			name string
			next func(*heldBatches) *transport.StreamOpBatch
			want string
		}{{"take", (*heldBatches).take, tc.take}, {"takeFailed", (*heldBatches).takeFailed, tc.failed}} {
			var h heldBatches
			for _, ops := range tc.held {
				h.add(&transport.StreamOpBatch{Ops: ops})
			}
			var got []string
			for b := how.next(&h); b != nil; b = how.next(&h) {
				got = append(got, b.Ops.String())
			}
			if s := strings.Join(got, ", "); s != how.want {
				t.Errorf("%s: %s gives %s, want %s", tc.name, how.name, s, how.want)
			}
		}
	}
}
