package clientchannel

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// refuse lets the connection i refuse its only stream, of which nothing was
// sent, and end.
func (w *world) refuse(i int) {
	w.t.Helper()
	synctest.Wait()
	tr := w.transport(i)
	err := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "draining", Progress: transport.ProgressNotSent}
	endStream(tr.Streams()[0], err)
	tr.tell(connectivity.Idle, err)
	tr.tell(connectivity.Shutdown, err)
	synctest.Wait()
}

// endStream fails all operations of a stream.
func endStream(s *callstacktest.Stream, err error) {
	s.CompleteSends(err)
	s.Headers(nil, err)
	s.Message(nil, err)
	s.Trailers(nil, err)
}

// TestAttemptNumber: the error of a call that was picked again says which of
// its attempts it was; that of a call with one attempt does not.
func TestAttemptNumber(t *testing.T) {
	lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Peer: "a:1", Reason: "connection lost",
		HTTP2: status.HTTP2EnhanceYourCalm, HasHTTP2: true}
	const theRest = opsUnary &^ transport.OpRecvTrailingMetadata
	for _, tc := range []struct {
		name  string
		args  callstack.CallArgs
		play  func(w *world, call *callstacktest.Call) *callstacktest.Batch // returns the one with the end
		want  string
		tries int
	}{
		{"one attempt", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			endStream(w.transport(0).Streams()[0], lost)
			return b
		}, "fake: connection lost (peer a:1)", 0},
		{"the second of two", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			w.refuse(0)
			endStream(w.transport(1).Streams()[0], lost)
			return b
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"the third of three", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			w.refuse(0)
			w.refuse(1)
			endStream(w.transport(2).Streams()[0], lost)
			return b
		}, "client_channel: attempt 3: fake: connection lost (peer a:1)", 3},
		{"with a deadline", callstack.CallArgs{Deadline: time.Now().Add(24 * time.Hour * 36500)}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			w.refuse(0)
			endStream(w.transport(1).Streams()[0], lost)
			return b
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"the end is asked for after the stream has begun", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			call.Do(theRest)
			w.refuse(0)
			s := w.transport(1).Streams()[0]
			s.CompleteSends(nil)
			s.Headers(nil, nil)
			call.Do(transport.OpSendTrailingMetadata)
			b := call.Do(transport.OpRecvTrailingMetadata)
			endStream(s, lost)
			return b
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"the end is the first that is asked for after the stream has begun", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			call.Do(theRest)
			w.refuse(0)
			s := w.transport(1).Streams()[0]
			s.CompleteSends(nil)
			b := call.Do(transport.OpRecvTrailingMetadata)
			endStream(s, lost)
			return b
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"the same, with a deadline", callstack.CallArgs{Deadline: time.Now().Add(24 * time.Hour * 36500)}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			call.Do(theRest)
			w.refuse(0)
			s := w.transport(1).Streams()[0]
			s.CompleteSends(nil)
			s.Headers(nil, nil)
			call.Do(transport.OpSendTrailingMetadata)
			b := call.Do(transport.OpRecvTrailingMetadata)
			endStream(s, lost)
			return b
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"a stream that has begun is cancelled", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			call.Do(theRest)
			w.refuse(0)
			w.transport(1).Streams()[0].CompleteSends(nil)
			call.Do(transport.OpSendTrailingMetadata)
			call.Do(transport.OpCancelStream, cancelWith(lost))
			return call.Do(transport.OpRecvTrailingMetadata)
		}, "client_channel: attempt 2: fake: connection lost (peer a:1)", 2},
		{"there is no second connection", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			w.unserve("a:1")
			w.refuse(0)
			return b
		}, "client_channel: attempt 2: no connection to test:///server", 2},
		{"a cancellation is not an attempt's", callstack.CallArgs{}, func(w *world, call *callstacktest.Call) *callstacktest.Batch {
			b := call.Do(opsUnary)
			w.refuse(0)
			call.Do(transport.OpCancelStream, cancelWith(status.Error(status.Unavailable, "enough")))
			return b
		}, "rpc error: code = Unavailable desc = enough", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t)
				w.holdSends = true
				w.serve("a:1", nil)
				w.resolve("a:1")
				call := w.begin(tc.args)
				err := wantCode(t, tc.play(w, call), status.Unavailable)
				if !strings.HasPrefix(err.Error(), tc.want) {
					t.Errorf("error %q, want %q", err, tc.want)
				}
				o := transport.OutcomeOf(err, time.Time{})
				if o.Attempt != tc.tries || o.HasHTTP2 != errors.Is(err, lost) {
					t.Errorf("outcome = %+v, want attempt %d and the facts of the cause", o, tc.tries)
				}
				call.Unref()
				if call.Recycled() != 1 {
					t.Error("the block is still referred to")
				}
				w.close()
			})
		})
	}
}

// TestHeadersOfTheNextAttempt: the filters of a connection change the headers that
// they send; those of the next connection get them as the call had them.
func TestHeadersOfTheNextAttempt(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.holdSends = true
		w.onBatch = func(_ *callstacktest.Stream, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpSendInitialMetadata) {
				b.SendInitialMetadata.MD.Append("by", "a filter")
				b.SendInitialMetadata.MD.Encoding = ""
			}
		}
		w.serve("a:1", nil)
		w.resolve("a:1")
		call := w.begin(callstack.CallArgs{})
		b := call.Do(opsUnary, func(b *callstacktest.Batch) {
			b.SendHeaders.Append("own", "1")
			b.SendHeaders.Encoding = "identity"
		})
		w.refuse(0)
		s := w.transport(1).Streams()[0]
		if md := s.SentHeaders(); md.Len() != 1 || md.Encoding != "identity" {
			t.Errorf("the second attempt sent %d pairs and wished for encoding %q, want the call's own pair and identity", md.Len(), md.Encoding)
		}
		endStream(s, nil)
		wantCode(t, b, status.OK)
		call.Unref()
		w.close()
	})
}
