package surface

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestInvalidArguments is gRPC core's invalid_call_argument_test: each row is
// a batch that is refused, on a fresh call or after the batch in first.
func TestInvalidArguments(t *testing.T) {
	var st clientState
	var msg *transport.Buffer
	var cancelled bool
	sim, sm := func() Op { return opSendHeaders() }, func() Op { return opSend("x") }
	rcos := opCancelled(&cancelled)
	flagged := func(op Op, flags uint32) Op { op.Flags = flags; return op }
	meta := func(op Op, kv ...string) Op { op.SendMetadata = pairs(kv...); return op }
	rows := []struct {
		name   string
		server bool
		first  []Op
		ops    []Op
		want   CallError
	}{
		{"unknown operation", false, nil, []Op{{Type: opTypes}}, CallErrorFailed},
		{"send initial metadata more than once", false, []Op{sim()}, []Op{sim()}, CallErrorTooManyOperations},
		{"illegal key", false, nil, []Op{opSendHeaders("Key", "v")}, CallErrorInvalidMetadata},
		{"empty key", false, nil, []Op{opSendHeaders("", "v")}, CallErrorInvalidMetadata},
		{"reserved key", false, nil, []Op{opSendHeaders(":start_with_colon", "v")}, CallErrorInvalidMetadata},
		{"illegal value", false, nil, []Op{opSendHeaders("key", "a\x7f")}, CallErrorInvalidMetadata},
		{"send nil message", false, nil, []Op{{Type: SendMessage}}, CallErrorInvalidMessage},
		{"receive into nothing", false, nil, []Op{{Type: RecvMessage}}, CallErrorInvalidMessage},
		{"send messages at the same time", false, []Op{sm()}, []Op{sm()}, CallErrorTooManyOperations},
		{"send message after the half-close", false, []Op{sim(), opClose()}, []Op{sm()}, CallErrorTooManyOperations},
		{"send headers after the half-close", false, []Op{opClose()}, []Op{sim()}, CallErrorTooManyOperations},
		{"half-close twice", false, []Op{sim(), opClose()}, []Op{opClose()}, CallErrorTooManyOperations},
		{"send server status from client", false, nil, []Op{opStatus(0, "")}, CallErrorNotOnClient},
		{"receive initial metadata twice", false, []Op{st.opHeaders()}, []Op{st.opHeaders()}, CallErrorTooManyOperations},
		{"receive message with flags", false, nil, []Op{flagged(opRecv(&msg), 1)}, CallErrorInvalidFlags},
		{"receive two messages at the same time", false, []Op{opRecv(&msg)}, []Op{opRecv(&msg)}, CallErrorTooManyOperations},
		{"recv_close_on_server from client", false, nil, []Op{rcos}, CallErrorNotOnClient},
		{"recv_status_on_client twice", false, []Op{st.opStatus()}, []Op{st.opStatus()}, CallErrorTooManyOperations},
		{"bad flags on headers", false, nil, []Op{flagged(sim(), 1)}, CallErrorInvalidFlags},
		{"bad flags on message", false, nil, []Op{flagged(sm(), transport.FlagWaitForReady)}, CallErrorInvalidFlags},
		{"bad flags on half-close", false, nil, []Op{flagged(opClose(), 1)}, CallErrorInvalidFlags},
		{"bad flags on receiving headers", false, nil, []Op{flagged(st.opHeaders(), 1)}, CallErrorInvalidFlags},
		{"bad flags on receiving the status", false, nil, []Op{flagged(st.opStatus(), 1)}, CallErrorInvalidFlags},
		{"duplicates come before everything", false, nil, []Op{flagged(sm(), 0x20), sm()}, CallErrorTooManyOperations},
		{"flags come before the side", false, nil, []Op{flagged(rcos, 1)}, CallErrorInvalidFlags},
		{"once-only comes before metadata", false, []Op{sim()}, []Op{opSendHeaders("BAD", "")}, CallErrorTooManyOperations},
		{"each type twice in a batch: headers", false, nil, []Op{sim(), sim()}, CallErrorTooManyOperations},
		{"each type twice in a batch: half-close", false, nil, []Op{opClose(), opClose()}, CallErrorTooManyOperations},
		{"each type twice in a batch: receiving", false, nil, []Op{opRecv(&msg), opRecv(&msg)}, CallErrorTooManyOperations},
		{"each type twice in a batch: status", false, nil, []Op{st.opStatus(), st.opStatus()}, CallErrorTooManyOperations},

		{"send close from client on server", true, nil, []Op{opClose()}, CallErrorNotOnServer},
		{"recv_status_on_client on server", true, nil, []Op{st.opStatus()}, CallErrorNotOnServer},
		{"receive headers on server", true, nil, []Op{st.opHeaders()}, CallErrorTooManyOperations},
		{"send status with flags", true, nil, []Op{flagged(opStatus(0, ""), 1)}, CallErrorInvalidFlags},
		{"illegal trailers", true, nil, []Op{meta(opStatus(0, ""), "A", "b")}, CallErrorInvalidMetadata},
		{"send status twice", true, []Op{opStatus(0, "")}, []Op{opStatus(0, "")}, CallErrorTooManyOperations},
		{"message after the status", true, []Op{opStatus(0, "")}, []Op{sm()}, CallErrorTooManyOperations},
		{"status and receive in one batch", true, nil, []Op{opStatus(0, ""), opRecv(&msg)}, CallErrorFailed},
		{"recv_close_on_server with flags", true, nil, []Op{flagged(rcos, 1)}, CallErrorInvalidFlags},
		{"recv_close_on_server twice", true, []Op{rcos}, []Op{rcos}, CallErrorTooManyOperations},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t)
			c := f.call(CallParams{})
			call := c
			if row.server {
				req := f.request("request")
				f.start(c, "begin", opSendHeaders())
				f.expect(f.scq, "request", true)
				call = req.Call
				defer call.Release()
			}
			if row.first != nil {
				f.start(call, "first", row.first...)
			}
			before := call.c.state.Load()
			if got := call.StartBatch(row.ops, "refused"); got != row.want {
				t.Errorf("StartBatch(%s) = %v, want %v", opNamesOf(row.ops), got, row.want)
			}
			if after := call.c.state.Load(); after != before {
				t.Errorf("a refused batch changed the call's state from %b to %b", before, after)
			}
			for _, op := range row.ops {
				op.Message.Release() // stays ours
			}
			c.Release()
		})
	}
}

// TestRefusedBatchLeavesTheCallUsable: gRPC core's slot stays busy after a
// refused batch, so that a later legal one is refused as well. Ours does not.
func TestRefusedBatchLeavesTheCallUsable(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	for range 10 {
		msg := message("x")
		if e := c.StartBatch([]Op{{Type: SendMessage, Message: msg, Flags: 0x20}}, "bad"); e != CallErrorInvalidFlags {
			t.Fatalf("StartBatch = %v", e)
		}
		msg.Release()
	}
	var st clientState
	f.start(c, "good", opSendHeaders(), opSend("x"), opClose(), st.opStatus())
	c.Cancel()
	f.expect(f.cq, "good", true)
	c.Release()
}

// TestReceiveInTwoBatches: gRPC core accepts {send_initial_metadata,
// recv_message} and then {recv_message}, because it looks at the first
// operation of a batch only, and loses a message.
func TestReceiveInTwoBatches(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	var a, b *transport.Buffer
	f.start(c, "both", opSendHeaders(), opRecv(&a))
	if e := c.StartBatch([]Op{opRecv(&b)}, "second"); e != CallErrorTooManyOperations {
		t.Errorf("StartBatch = %v, want TOO_MANY_OPERATIONS", e)
	}
	c.Cancel()
	f.expect(f.cq, "both", false)
	f.start(c, "again", opRecv(&b)) // allowed: the first one's event was dequeued
	f.expect(f.cq, "again", false)
	c.Release()
}

// TestQueueHasShutDown: a batch on a queue that has shut down starts nothing.
func TestQueueHasShutDown(t *testing.T) {
	f := newFixture(t)
	q := cq.New(cq.Next, cq.Config{})
	c := f.call(CallParams{Queue: q})
	q.Drain()
	if e := c.StartBatch([]Op{opSendHeaders()}, "x"); e != CallErrorCompletionQueueShutdown {
		t.Errorf("StartBatch = %v, want COMPLETION_QUEUE_SHUTDOWN", e)
	}
	if s := c.c.state.Load(); s != 0 && s != stateScratch {
		t.Errorf("state = %b, want what it was before", s)
	}
	c.Release()
}

func TestCallErrorNames(t *testing.T) {
	for e, want := range map[CallError]string{
		CallOK: "GRPC_CALL_OK", 1: "GRPC_CALL_ERROR", 2: "GRPC_CALL_ERROR_NOT_ON_SERVER",
		3: "GRPC_CALL_ERROR_NOT_ON_CLIENT", 8: "GRPC_CALL_ERROR_TOO_MANY_OPERATIONS",
		9: "GRPC_CALL_ERROR_INVALID_FLAGS", 10: "GRPC_CALL_ERROR_INVALID_METADATA",
		11: "GRPC_CALL_ERROR_INVALID_MESSAGE", 12: "GRPC_CALL_ERROR_NOT_SERVER_COMPLETION_QUEUE",
		14: "GRPC_CALL_ERROR_PAYLOAD_TYPE_MISMATCH", 15: "GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN",
		200: "CallError(200)",
	} {
		if got := e.String(); got != want {
			t.Errorf("CallError(%d) = %q, want %q", uint8(e), got, want)
		}
	}
	if CallOK.Err() != nil || CallErrorFailed.Err() == nil || CallErrorFailed.Error() != "surface: GRPC_CALL_ERROR" {
		t.Error("Err does not tell CallOK from the errors")
	}
	if OpType(200).String() != "OpType(200)" || SendMessage.String() != "send_message" {
		t.Error("OpType.String is wrong")
	}
}

func TestCheckMetadataNamesTheKey(t *testing.T) {
	if err := CheckMetadata(pairs("good", "value", "any-bin", "\x00")); err != nil {
		t.Errorf("CheckMetadata = %v", err)
	}
	if CheckMetadata(nil) != nil {
		t.Error("CheckMetadata(nil) is an error")
	}
	for _, l := range []string{"Upper", "with space"} {
		if err := CheckMetadata(pairs("ok", "", l, "secret")); err == nil || !strings.Contains(err.Error(), l) || strings.Contains(err.Error(), "secret") {
			t.Errorf("CheckMetadata(%q) = %v", l, err)
		}
	}
	if err := CheckMetadata(pairs("key", "secret\n")); err == nil || !strings.Contains(err.Error(), `"key"`) || strings.Contains(err.Error(), "secret") {
		t.Errorf("CheckMetadata = %v", err)
	}
}

func TestCreateCallErrors(t *testing.T) {
	f := newFixture(t)
	for _, method := range []string{"", "no/slash"} {
		if _, err := f.channel.CreateCall(CallParams{Method: method}); err == nil {
			t.Errorf("CreateCall(%q) is no error", method)
		}
	}
	f.channel.Close()
	_, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
	if status.CodeOf(err) != status.Canceled || !strings.Contains(err.Error(), "closed") {
		t.Errorf("CreateCall on a closed channel = %v", err)
	}
}
