package transport

import (
	"errors"
	"slices"
	"testing"
)

// A noted is a Done that writes its name down.
type noted struct {
	name string
	log  *[]string
}

func (n noted) Run(err error) { *n.log = append(*n.log, n.name+": "+err.Error()) }

// TestFail: each operation ends once, in the order of gRPC core.
func TestFail(t *testing.T) {
	for ops := OpSet(0); ops < OpCancelStream<<1; ops++ {
		var log []string
		buf := WrapBuffer([]byte("m"))
		b := &StreamOpBatch{Ops: ops}
		b.RecvInitialMetadata.Ready = noted{"recv_initial_metadata", &log}
		b.RecvMessage.Ready = noted{"recv_message", &log}
		b.RecvTrailingMetadata.Ready = noted{"recv_trailing_metadata", &log}
		b.OnComplete = noted{"on_complete", &log}
		b.SendMessage.Buf = buf
		b.Fail(errors.New("x"))
		var want []string
		for _, op := range []struct {
			set  OpSet
			name string
		}{
			{OpRecvInitialMetadata, "recv_initial_metadata"}, {OpRecvMessage, "recv_message"},
			{OpRecvTrailingMetadata, "recv_trailing_metadata"}, {OpsSend, "on_complete"},
		} {
			if ops.Has(op.set) {
				want = append(want, op.name+": x")
			}
		}
		if !slices.Equal(log, want) {
			t.Errorf("%v: got %q, want %q", ops, log, want)
		}
		if released := buf.Bytes() == nil; released != ops.Has(OpSendMessage) {
			t.Errorf("%v: the message was released: %v", ops, released)
		}
	}
}

// A reuser gives the batch to its next use as soon as it hears of its end.
type reuser struct{ b *StreamOpBatch }

func (r reuser) Run(error) { *r.b = StreamOpBatch{} }

// TestFailDoesNotReadAgain: a callback may be the owner's last use of the batch.
func TestFailDoesNotReadAgain(t *testing.T) {
	var log []string
	b := &StreamOpBatch{Ops: OpsRecv | OpSendInitialMetadata}
	b.RecvInitialMetadata.Ready = reuser{b}
	b.RecvMessage.Ready = noted{"recv_message", &log}
	b.RecvTrailingMetadata.Ready = noted{"recv_trailing_metadata", &log}
	b.OnComplete = noted{"on_complete", &log}
	b.Fail(errors.New("x"))
	if want := []string{"recv_message: x", "recv_trailing_metadata: x", "on_complete: x"}; !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
}

func TestOpSetString(t *testing.T) {
	for _, tc := range []struct {
		ops  OpSet
		want string
	}{
		{0, ""},
		{OpSendMessage, "send_message"},
		{OpsSend, "send_initial_metadata send_message send_trailing_metadata"},
		{OpsRecv, "recv_initial_metadata recv_message recv_trailing_metadata"},
		{OpCancelStream | OpRecvMessage, "recv_message cancel_stream"},
	} {
		if got := tc.ops.String(); got != tc.want {
			t.Errorf("OpSet(%#x) is %q, want %q", uint8(tc.ops), got, tc.want)
		}
	}
	if !OpsSend.Has(OpSendMessage) || OpsSend.Has(OpsRecv) || OpSet(0).Has(OpsSend) {
		t.Error("Has is wrong")
	}
	if OpsSend|OpsRecv|OpCancelStream != 1<<len(opNames)-1 {
		t.Error("an operation has no name")
	}
}
