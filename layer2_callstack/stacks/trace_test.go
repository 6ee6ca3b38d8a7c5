package stacks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A traceWorld is a stack that tells a recorder what it does, over transports
// that do what a test says.
type traceWorld struct {
	t          *testing.T
	rec        *trace.Recorder
	sink       trace.Sink
	stack      *callstack.ChannelStack
	cc         *clientchannel.ClientChannel // nil without one
	transports []*callstacktest.Transport
	hold       bool // sends of the next transport
	side       callstacktest.Side
	call       *callstacktest.Call
}

// newTraceWorld returns a traced stack of b on a connection of that kind.
func newTraceWorld(t *testing.T, b *callstack.Builder, side callstacktest.Side, kind string) *traceWorld {
	w := &traceWorld{t: t, rec: trace.NewRecorder(trace.LevelEvents), side: side}
	w.sink = w.rec.Endpoint("stack", "")
	var err error
	if w.stack, err = b.Build(callstack.ChannelArgs{Transport: w.connect(kind), Trace: w.sink}); err != nil {
		t.Fatal(err)
	}
	return w
}

// newTraceChannel returns the traced stack of a channel, which is idle.
func newTraceChannel(t *testing.T) *traceWorld {
	w := &traceWorld{t: t, rec: trace.NewRecorder(trace.LevelEvents)}
	w.sink = w.rec.Endpoint("stack", "")
	w.cc, w.stack = newChannel(t, w.sink, stacks.ClientSubchannel(stacks.Options{}),
		func(context.Context) (transport.Transport, error) { return w.connect("http2"), nil })
	return w
}

func (w *traceWorld) connect(kind string) *callstacktest.Transport {
	tr := &callstacktest.Transport{Kind: kind, HoldSends: w.hold}
	w.transports = append(w.transports, tr)
	return tr
}

// begin starts the call, which has an event of its own as its cause.
func (w *traceWorld) begin(args callstack.CallArgs) {
	w.t.Helper()
	args.CallID, args.Cause = 7, w.event("call.create")
	w.call = callstacktest.NewCall(w.stack)
	if err := w.call.Begin(args); err != nil {
		w.t.Fatal(err)
	}
}

// event is what somebody above the stack does.
func (w *traceWorld) event(op string) trace.EventID {
	return w.sink.Emit(&trace.Event{Layer: 6, Component: "test", Op: op, Call: 7})
}

// do starts a batch, which has an event of its own as its cause, and lets
// everybody digest it.
func (w *traceWorld) do(ops transport.OpSet, edit ...func(*callstacktest.Batch)) *callstacktest.Batch {
	b := w.call.Do(ops, append(edit, func(b *callstacktest.Batch) {
		b.Cause = w.event("start_batch")
		if b.CancelErr == nil && ops.Has(transport.OpCancelStream) {
			b.CancelErr = errors.New("cancelled by the test")
		}
	})...)
	synctest.Wait()
	return b
}

// stream returns the stream of the call on the i-th connection.
func (w *traceWorld) stream(i int) *callstacktest.Stream {
	w.t.Helper()
	if len(w.transports) <= i || len(w.transports[i].Streams()) == 0 {
		w.t.Fatalf("the call has not come to connection %d", i)
	}
	return w.transports[i].Streams()[0]
}

// answer lets the peer do its part of a whole call.
func (w *traceWorld) answer(i int) {
	st := w.stream(i)
	st.Headers(w.side.FillHeaders, nil)
	st.Message(transport.NewBuffer(0), nil)
	st.Trailers(w.side.FillTrailers, nil)
	synctest.Wait()
}

// end gives the call up and judges its trace.
func (w *traceWorld) end() []trace.Record {
	w.t.Helper()
	w.call.Unref()
	synctest.Wait()
	if w.call.Recycled() != 1 {
		w.t.Error("the block was not recycled")
	}
	events := w.rec.Events()
	for _, fault := range faultsOf(events) {
		w.t.Error(fault)
	}
	if w.t.Failed() {
		for _, r := range events {
			w.t.Logf("%d<%d %s %s %s %v", r.ID, r.Cause, r.Component, r.Op, r.Text, r.Err)
		}
	}
	w.stack.Destroy()
	return events
}

const (
	whole  = transport.OpsSend | transport.OpsRecv
	noSend = transport.OpsRecv
)

// TestTraceInvariants follows calls through all standard stacks: that each
// operation goes down once at each filter and up once, in order, see faultsOf.
func TestTraceInvariants(t *testing.T) {
	client, server := callstacktest.Client, callstacktest.Server
	for _, stack := range []struct {
		name string
		b    *callstack.Builder
		side callstacktest.Side
		kind string
	}{
		{"CLIENT_SUBCHANNEL", stacks.ClientSubchannel(stacks.Options{}), client, "http2"},
		{"CLIENT_DIRECT", stacks.ClientDirect(stacks.Options{}, true), client, "http2"},
		{"CLIENT_DIRECT in the process", stacks.ClientDirect(stacks.Options{}, false), client, "inproc"},
		{"SERVER", stacks.Server(top, stacks.Options{}), server, "http2"},
		{"SERVER in the process", stacks.Server(top, stacks.Options{}), server, "inproc"},
		{"CLIENT_CHANNEL", nil, client, ""},
	} {
		for _, shape := range []struct {
			name string
			run  func(w *traceWorld)
		}{
			{"one batch", func(w *traceWorld) { w.do(whole); w.answer(0) }},
			{"a batch for each operation", func(w *traceWorld) {
				for op := transport.OpSendInitialMetadata; op < transport.OpCancelStream; op <<= 1 {
					w.do(op)
				}
				w.answer(0)
			}},
			{"a stream of messages", func(w *traceWorld) {
				w.do(transport.OpSendInitialMetadata | transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
				w.stream(0).Headers(w.side.FillHeaders, nil)
				for range 3 {
					w.do(transport.OpSendMessage)
					w.do(transport.OpRecvMessage).RecvMessage.Message.Release()
					w.stream(0).Message(transport.NewBuffer(0), nil)
				}
				w.do(transport.OpSendTrailingMetadata)
				w.stream(0).Trailers(w.side.FillTrailers, nil)
			}},
			{"messages that are coded", func(w *traceWorld) {
				w.do(transport.OpSendInitialMetadata|transport.OpsRecv, func(b *callstacktest.Batch) { b.SendHeaders.Encoding = "gzip" })
				w.stream(0).Headers(func(rim *transport.RecvInitialMetadata) {
					w.side.FillHeaders(rim)
					rim.MD.Encoding, rim.MD.AcceptEncoding = "gzip", "gzip"
				}, nil)
				long := transport.WrapBuffer(make([]byte, 1000))
				w.do(transport.OpSendMessage, func(b *callstacktest.Batch) { b.SendMessage.Buf = long })
				packed, err := encoding.Compress(encoding.Gzip{}, transport.WrapBuffer(make([]byte, 1000)))
				if err != nil {
					w.t.Fatal(err)
				}
				w.stream(0).Message(packed, nil)
				w.stream(0).Trailers(w.side.FillTrailers, nil)
			}},
			{"cancelled", func(w *traceWorld) { w.do(whole); w.do(transport.OpCancelStream) }},
			{"cancelled before it begins", func(w *traceWorld) { w.do(transport.OpCancelStream); w.do(whole) }},
			{"cancelled before the headers", func(w *traceWorld) {
				w.do(transport.OpSendMessage | transport.OpsRecv)
				w.do(transport.OpCancelStream)
			}},
			{"a lost connection", func(w *traceWorld) {
				w.do(whole)
				w.stream(0).Trailers(nil, &transport.Error{Code: status.Unavailable, Reason: "lost"})
			}},
			{"ended by a filter", func(w *traceWorld) {
				w.do(whole)
				w.stream(0).Headers(func(rim *transport.RecvInitialMetadata) {
					w.side.FillHeaders(rim)
					rim.MD.ContentType, rim.MD.Encoding = "text/plain", "unheard-of"
				}, nil)
				w.stream(0).Trailers(w.side.FillTrailers, nil)
			}},
		} {
			t.Run(stack.name+"/"+shape.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTraceChannel
					if stack.b != nil {
						w = func(t *testing.T) *traceWorld { return newTraceWorld(t, stack.b, stack.side, stack.kind) }
					}
					world := w(t)
					world.begin(stack.side.Args())
					shape.run(world)
					world.end()
				})
			})
		}
	}
}

// TestTraceOfALameCall: what a call fails of is known before it begins.
func TestTraceOfALameCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTraceWorld(t, stacks.Lame(status.New(status.Unavailable, "no")), callstacktest.Client, "")
		w.begin(callstacktest.Client.Args())
		w.do(whole)
		w.end()
	})
}

// TestTraceOfAHeldCall: a call that waits for a connection goes on because of
// what came of the connection, and so does all that was held.
func TestTraceOfAHeldCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTraceChannel(t)
		w.begin(callstacktest.Client.Args())
		w.do(noSend)
		w.do(transport.OpsSend)
		w.answer(0)
		events := w.end()
		wantChain(t, events, last(events, "filter:authority", "op.down", transport.OpsSend.String()),
			"op.down send_initial_metadata send_message send_trailing_metadata",
			"lb.pick complete server", "connectivity CONNECTING to READY", "subchannel.connect server")
		wantChain(t, events, last(events, "filter:client_channel", "op.up", "recv_trailing_metadata"),
			"op.up recv_trailing_metadata", "op.up recv_trailing_metadata")
	})
}

// TestTraceOfACallPickedAgain: both attempts are in the trace, and what the
// application hears comes of the second one.
func TestTraceOfACallPickedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTraceChannel(t)
		w.hold = true
		w.begin(callstacktest.Client.Args())
		b := w.do(whole)
		refused := &transport.Error{Code: status.Unavailable, Reason: "GOAWAY", Progress: transport.ProgressNotSent}
		w.hold = false
		for _, op := range w.transports[0].Ops() {
			if op.StartWatch != nil {
				op.StartWatch.OnState(connectivity.Idle, nil)
			}
		}
		w.stream(0).Trailers(nil, refused)
		w.stream(0).CompleteSends(refused)
		synctest.Wait()
		w.answer(1)
		if err := b.GotTrailers.Err(); err != nil || b.GotTrailers.Count() != 1 {
			t.Fatalf("the call ended %d times, with %v", b.GotTrailers.Count(), err)
		}
		events := w.end()
		for _, want := range []struct {
			component, op string
			n             int
		}{
			{"filter:client_channel", "op.down", 1}, {"filter:authority", "op.down", 2}, {"filter:connected", "op.down", 2},
			{"filter:client_channel", "op.up", 4}, {"filter:authority", "op.up", 8}, {"filter:connected", "element.init", 2},
		} {
			if n := count(events, want.component, want.op); n != want.n {
				t.Errorf("%d events %s %s, want %d", n, want.component, want.op, want.n)
			}
		}
		wantChain(t, events, last(events, "filter:authority", "op.down", whole.String()), "op.down", "lb.pick complete server",
			"connectivity CONNECTING to READY")
	})
}

// TestTraceOfADeadline: a call that is cancelled from the top, wherever it is,
// ends because of the timer.
func TestTraceOfADeadline(t *testing.T) {
	direct := func(t *testing.T) *traceWorld {
		return newTraceWorld(t, stacks.ClientDirect(stacks.Options{}, true), callstacktest.Client, "http2")
	}
	for _, tc := range []struct {
		name  string
		make  func(t *testing.T) *traceWorld
		ops   transport.OpSet
		chain []string // of the end of the call
	}{
		{"in the queue", newTraceChannel, noSend, []string{ // below client_idle
			"op.up recv_trailing_metadata", "op.up recv_trailing_metadata", "op.down cancel_stream", "op.down cancel_stream", "deadline.fire"}},
		{"on a connection of a channel", newTraceChannel, whole, []string{"op.up recv_trailing_metadata"}},
		{"on the one connection", direct, whole, []string{"op.up recv_trailing_metadata"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := tc.make(t)
				args := callstacktest.Client.Args()
				args.Start, args.Deadline = time.Now(), time.Now().Add(time.Second)
				w.begin(args)
				b := w.do(tc.ops)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := status.CodeOf(b.GotTrailers.Err()); got != status.DeadlineExceeded {
					t.Fatalf("the call ended with %v", b.GotTrailers.Err())
				}
				events := w.end()
				for _, op := range []string{"recv_initial_metadata", "recv_message", "recv_trailing_metadata"} {
					top := "filter:client_channel"
					if w.cc == nil {
						top = "filter:authority"
					}
					end := last(events, top, "op.up", op)
					chain := chainOf(events, end)
					if !slices.Contains(chain, "deadline.fire ") || !slices.ContainsFunc(chain, func(s string) bool { return strings.HasPrefix(s, "deadline.arm") }) {
						t.Errorf("the end of %s came of %q, not of the deadline", op, chain)
					}
				}
				wantChain(t, events, last(events, "", "op.up", "recv_trailing_metadata"), tc.chain...)
			})
		})
	}
}

// faultsOf returns what is wrong with the events of one call.
//
//   - No event is caused by a later one, and what a stack tells of a call has a
//     cause.
//   - Elements begin from the bottom and end from the top, as often.
//   - At each filter every operation that goes down comes up once, and first at the
//     filters below.
//   - On its way an operation goes from filter to filter: what is told at one is
//     caused by its neighbour, but for where it begins or turns round.
func faultsOf(events []trace.Record) (faults []string) {
	type place struct {
		name  string
		stack []string
		at    int
	}
	places := map[string]place{}                      // by component
	inits, ends := map[string]int{}, map[string]int{} // by stack
	open := map[string]int{}                          // by component and operation
	byID := map[trace.EventID]trace.Record{}
	for _, r := range events {
		byID[r.ID] = r
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("event %d, %s %s %q: ", r.ID, r.Component, r.Op, r.Text)+fmt.Sprintf(format, args...))
		}
		if r.Cause >= r.ID {
			fault("it is caused by event %d", r.Cause)
		}
		if r.Op == "stack.build" {
			filters := strings.Fields(r.Text)[1:]
			for i, f := range filters {
				places["filter:"+f] = place{r.Text, filters, i}
			}
		}
		p, ok := places[r.Component]
		if !ok {
			continue
		}
		above, below := "", ""
		if p.at > 0 {
			above = "filter:" + p.stack[p.at-1]
		}
		if p.at < len(p.stack)-1 {
			below = "filter:" + p.stack[p.at+1]
		}
		cause := byID[r.Cause]
		for cause.Component == r.Component && !strings.HasPrefix(cause.Op, "op.") {
			cause = byID[cause.Cause] // what the filter tells of itself
		}
		switch r.Op {
		case "element.init":
			if want := len(p.stack) - 1 - inits[p.name]%len(p.stack); p.at != want {
				fault("it begins before %s", p.stack[want])
			}
			inits[p.name]++
		case "element.destroy":
			if want := ends[p.name] % len(p.stack); p.at != want {
				fault("it ends before %s", p.stack[want])
			}
			ends[p.name]++
		case "op.down":
			for _, op := range callbacks(r.Text) {
				open[r.Component+" "+op]++
			}
			switch {
			case r.Cause == 0:
				fault("it has no cause")
			case cause.Op == "op.down" && cause.Text == r.Text && cause.Component != above && p.at > 0:
				fault("it comes of %s", cause.Component)
			}
		case "op.up":
			if open[r.Component+" "+r.Text]--; open[r.Component+" "+r.Text] < 0 {
				fault("it has not gone down, or has been up before")
			}
			for _, f := range p.stack[p.at+1:] {
				if open["filter:"+f+" "+r.Text] > 0 {
					fault("it has not been up at %s", f)
				}
			}
			switch {
			case r.Cause == 0:
				fault("it has no cause")
			case below != "" && (cause.Component != below || cause.Op != "op.up" || cause.Text != r.Text):
				fault("it comes of event %d, %s %s %q, not of %s", cause.ID, cause.Component, cause.Op, cause.Text, below)
			}
		}
	}
	for key, n := range open {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%s went down and did not come up", key))
		}
	}
	for name, n := range inits {
		if n != ends[name] {
			faults = append(faults, fmt.Sprintf("%d elements of %s began and %d ended", n, name, ends[name]))
		}
	}
	if len(inits) == 0 {
		faults = append(faults, "no element began a call")
	}
	return faults
}

// callbacks are what op.up tells of the operations that went down.
func callbacks(text string) (ops []string) {
	var sends []string
	for _, op := range strings.Fields(text) {
		switch {
		case strings.HasPrefix(op, "send_"):
			sends = append(sends, op)
		case op != "cancel_stream":
			ops = append(ops, op)
		}
	}
	if len(sends) > 0 {
		ops = append(ops, strings.Join(sends, " "))
	}
	return ops
}

// last returns the last event of that kind; empty strings are any.
func last(events []trace.Record, component, op, text string) trace.EventID {
	for _, r := range slices.Backward(events) {
		if (component == "" || r.Component == component) && r.Op == op && r.Text == text {
			return r.ID
		}
	}
	return 0
}

func count(events []trace.Record, component, op string) (n int) {
	for _, r := range events {
		if r.Component == component && r.Op == op {
			n++
		}
	}
	return n
}

// chainOf returns what led to an event, the event first.
func chainOf(events []trace.Record, id trace.EventID) (chain []string) {
	byID := map[trace.EventID]trace.Record{}
	for _, r := range events {
		byID[r.ID] = r
	}
	for ; id != 0; id = byID[id].Cause {
		chain = append(chain, byID[id].Op+" "+byID[id].Text)
	}
	return chain
}

// wantChain checks how what led to an event begins.
func wantChain(t *testing.T, events []trace.Record, id trace.EventID, want ...string) {
	t.Helper()
	chain := chainOf(events, id)
	for i, s := range want {
		if len(chain) <= i || !strings.HasPrefix(chain[i], s) {
			t.Errorf("event %d came of\n%s\nwant\n%s", id, strings.Join(chain, "\n"), strings.Join(want, "\n"))
			return
		}
	}
}
