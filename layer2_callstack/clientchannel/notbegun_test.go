package clientchannel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// TestCallsNotBegun: a call that asked for its end before it began is told of it,
// whatever comes first.
func TestCallsNotBegun(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(w *world, call func(ops transport.OpSet))
		want status.Code
	}{
		{"it begins", func(w *world, call func(ops transport.OpSet)) {
			w.resolve("a:1")
			call(opsUnary &^ transport.OpRecvTrailingMetadata)
		}, status.OK},
		{"it begins before there is a connection", func(w *world, call func(ops transport.OpSet)) {
			call(opsUnary &^ transport.OpRecvTrailingMetadata)
			w.resolve("a:1")
		}, status.OK},
		{"it is cancelled", func(w *world, call func(ops transport.OpSet)) { call(transport.OpCancelStream) }, status.Canceled},
		{"the channel ends", func(w *world, _ func(ops transport.OpSet)) { w.close() }, status.Unavailable},
		{"the channel goes to IDLE and ends", func(w *world, _ func(ops transport.OpSet)) {
			w.resolve("a:1")
			w.ch.EnterIdle()
			synctest.Wait()
			w.close()
		}, status.Unavailable},
		{"its deadline comes", func(*world, func(ops transport.OpSet)) { <-time.After(time.Hour) }, status.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t).answering()
				w.serve("a:1", nil)
				call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Hour)})
				end := call.Do(transport.OpRecvTrailingMetadata)
				wantPending(t, end)
				tc.end(w, func(ops transport.OpSet) {
					if ops == transport.OpCancelStream {
						call.Do(ops, cancelWith(status.Error(status.Canceled, "no more")))
						return
					}
					call.Do(ops)
				})
				wantCode(t, end, tc.want)
				call.Unref()
				w.close()
			})
		})
	}
}

// TestDeadlineAboveTheChannel: a call whose headers have not come by its deadline was
// kept above, and the error does not send anybody to look at the network.
func TestDeadlineAboveTheChannel(t *testing.T) {
	said := &transport.Error{Code: status.DeadlineExceeded, Layer: "above", Reason: "waited for a token", Cause: context.DeadlineExceeded}
	plain := fmt.Errorf("the deadline passed 1ms before the call began: %w", context.DeadlineExceeded) // as layer 4 says it
	for _, tc := range []struct {
		name   string
		cancel error // of who watches the deadline, nil for the channel itself
		want   string
	}{
		{"the channel watches it", nil, "a filter above kept it"},
		{"another does", context.DeadlineExceeded, "a filter above kept it"},
		{"another does, and says why", said, "above: waited for a token: context deadline exceeded"},
		{"one that is no filter does, and says why", plain, plain.Error()},
	} {
		run(t, func(t *testing.T) {
			w := newWorld(t)
			w.resolve("a:1")
			call := w.begin(callstack.CallArgs{Deadline: time.Now().Add(time.Hour), DeadlineWatched: tc.cancel != nil})
			end := call.Do(transport.OpRecvTrailingMetadata)
			time.Sleep(time.Hour)
			if tc.cancel != nil {
				call.Do(transport.OpCancelStream, cancelWith(tc.cancel))
			}
			err := wantCode(t, end, status.DeadlineExceeded)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), tc.want) || (tc.cancel == error(said) || tc.cancel == plain) && err != tc.cancel {
				t.Errorf("%s: error %q, want context.DeadlineExceeded and %q", tc.name, err, tc.want)
			}
			call.Unref()
			w.close()
		})
	}
}

// TestCallsOfAClosedChannel: nothing waits for a channel that has ended.
func TestCallsOfAClosedChannel(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
		synctest.Wait()
		call := w.begin(callstack.CallArgs{})
		wantCode(t, call.Do(transport.OpRecvTrailingMetadata), status.Unavailable)
		call.Unref()
		w.close()
	})
}
