package compression_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// away is how long a message is that is not inflated on the spot.
const away = 9 << 10

// A gate is a coding whose messages are what they hold, and that are inflated when
// the test says so. What the first byte says may be a fault.
type gate struct {
	open           chan struct{} // closed: at once
	atWork, atMost atomic.Int32
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (*gate) Name() string                                { return "gate" }
func (*gate) Compress(io.Writer) (io.WriteCloser, error)  { return nil, io.ErrClosedPipe }
func (g *gate) Decompress(r io.Reader) (io.Reader, error) { return &gateReader{g, r, false}, nil }
func (g *gate) config() config                            { return config{Compressors: []encoding.Compressor{g, encoding.Gzip{}}} }
func (g *gate) message(first byte, n int) *transport.Buffer {
	return flagged(string(first) + strings.Repeat("x", n-1))
}

type gateReader struct {
	g      *gate
	r      io.Reader
	passed bool
}

func (r *gateReader) Read(p []byte) (int, error) {
	if !r.passed {
		r.passed = true
		if n := r.g.atWork.Add(1); n > r.g.atMost.Load() {
			r.g.atMost.Store(n)
		}
		<-r.g.open
		r.g.atWork.Add(-1)
	}
	n, err := r.r.Read(p)
	switch {
	case n > 0 && p[0] == 'p':
		panic("on purpose")
	case n > 0 && p[0] == 'g':
		runtime.Goexit()
	}
	return n, err
}

// A receiver is a call that has its headers and waits for a message and the end.
type receiver struct {
	*callstacktest.Call
	st *callstacktest.Stream
	b  *callstacktest.Batch
}

// receivers returns n calls on one connection, whose peers use the coding enc.
func receivers(t testing.TB, side callstacktest.Side, cfg config, enc string, n int) (*callstack.ChannelStack, []receiver) {
	t.Helper()
	tr := &callstacktest.Transport{}
	stack := callstacktest.Build(t, tr, compression.New(cfg))
	all := make([]receiver, n)
	for i := range all {
		c := callstacktest.NewCall(stack)
		if err := c.Begin(side.Args()); err != nil {
			t.Fatal(err)
		}
		all[i] = receiver{c, tr.Streams()[i], nil}
		all[i].b = c.Do(transport.OpsRecv)
		all[i].st.Headers(headers(side, enc, ""), nil)
	}
	return stack, all
}

// end wants the callbacks to have run in that order, and nobody to refer to the call.
func (r *receiver) end(t *testing.T, order string) {
	t.Helper()
	if got := strings.Join(r.b.Order(), " "); got != order {
		t.Errorf("callbacks ran in the order %q, want %q", got, order)
	}
	r.b.RecvMessage.Message.Release()
	r.Unref()
	if r.Recycled() != 1 {
		t.Error("the block was not recycled")
	}
}

// TestLongMessagesLeaveTheReader: whoever brings a long message goes on, and what
// comes meanwhile of this call and others takes its way. The end of the call is last.
func TestLongMessagesLeaveTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		_, all := receivers(t, callstacktest.Client, g.config(), "gate", 1)
		r := &all[0]
		msg := g.message('x', away)
		msg.Ref()
		r.st.Message(msg, nil)
		synctest.Wait()
		if g.atWork.Load() != 1 || r.b.GotMessage.Count() != 0 {
			t.Fatalf("the message has ended with %v before it was inflated", r.b.GotMessage.Err())
		}
		if sent := sendLong(r.Call, transport.OpSendInitialMetadata); sent.Sent.Count() != 1 {
			t.Error("sending waits for the message")
		}
		r.st.Trailers(callstacktest.Client.FillTrailers, nil)
		if got := r.b.GotTrailers.Count(); got != 0 {
			t.Error("the call has ended before its message")
		}
		close(g.open)
		synctest.Wait()
		if got := r.b.RecvMessage.Message; got.Len() != away || got.WireLen != away || !r.b.RecvTrailers.HasStatus || r.b.GotTrailers.Err() != nil {
			t.Errorf("the call ended with %v, %v and %v", got, &r.b.RecvTrailers, r.b.GotTrailers.Err())
		}
		wantLastReference(t, msg)
		r.end(t, "headers message trailers")
	})
}

// TestWhatLeavesTheReader: a short message does not, however it is called.
func TestWhatLeavesTheReader(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  config
		msg  *transport.Buffer
		away bool
	}{
		{"short", config{}, compressed(t, encoding.Gzip{}, long), false},
		{"32 KiB", config{}, zeros(t, 32<<10-1), false},
		{"more", config{}, zeros(t, 32<<10), true},
		{"8 KiB on the wire", config{}, edited(compressed(t, encoding.Gzip{}, noise(8<<10-50)), func(p []byte) []byte { return p }), false},
		{"more on the wire", config{}, compressed(t, encoding.Gzip{}, noise(9<<10)), true},
		{"long, and kept as it is", config{KeepCompressed: true}, zeros(t, 1<<20), false},
		{"long, and not compressed", config{}, buffer(strings.Repeat("x", 1<<20)), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, all := receivers(t, callstacktest.Client, tc.cfg, "gzip", 1)
				r := &all[0]
				reader := ""
				r.st.Message(nil, nil) // to begin another batch, whose callback tells its goroutine
				b := callstacktest.NewBatch(transport.OpRecvMessage)
				b.RecvMessage.Ready = whose{&b.GotMessage, &reader}
				r.Stack.StartBatch(&b.StreamOpBatch)
				r.st.Message(tc.msg, nil)
				synctest.Wait()
				if b.GotMessage.Count() != 1 || b.GotMessage.Err() != nil {
					t.Errorf("recv_message ended %d times with %v", b.GotMessage.Count(), b.GotMessage.Err())
				}
				if got := strings.Contains(reader, "(*line).work"); got != tc.away {
					t.Errorf("a message of %d bytes ended on\n%s", tc.msg.Len(), reader)
				}
				b.RecvMessage.Message.Release()
				r.st.Trailers(callstacktest.Client.FillTrailers, nil)
				r.end(t, "headers message trailers")
			})
		})
	}
}

// A whose is a callback that tells the stack of its goroutine.
type whose struct {
	transport.Done
	stack *string
}

func (d whose) Run(err error) {
	p := make([]byte, 64<<10)
	*d.stack = string(p[:runtime.Stack(p, false)])
	d.Done.Run(err)
}

// TestNobodyWaitsForTheLine: a call that is over does not wait until its message is
// inflated, neither at work, longer than for a piece, nor in the line.
func TestNobodyWaitsForTheLine(t *testing.T) {
	gone := errors.New("gone")
	cancel := func(r *receiver) {
		r.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = gone })
	}
	for _, tc := range []struct {
		name string
		side callstacktest.Side
		end  func(r *receiver)
		err  error // of the message
		last error // of the call
	}{
		{"a client cancels", callstacktest.Client, cancel, gone, gone},
		{"a server cancels", callstacktest.Server, cancel, gone, gone},
		{"a client cancels what the server has ended", callstacktest.Client, func(r *receiver) {
			r.st.Trailers(callstacktest.Client.FillTrailers, nil)
			cancel(r)
		}, gone, gone},
		{"the stream breaks", callstacktest.Client, func(r *receiver) { r.st.Trailers(nil, gone) }, gone, gone},
		{"the client goes", callstacktest.Server, func(r *receiver) { r.st.Trailers(nil, gone) }, gone, gone},
		{"the server has answered", callstacktest.Server, func(r *receiver) { r.st.Trailers(nil, nil) }, nil, nil},
	} {
		for _, waits := range []bool{false, true} {
			t.Run(tc.name+map[bool]string{false: " at work", true: " in the line"}[waits], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGate()
					_, all := receivers(t, tc.side, g.config(), "gate", workers()+1)
					var msgs []*transport.Buffer
					for i := range all {
						msg := g.message('x', away)
						msg.Ref()
						msgs = append(msgs, msg)
						all[i].st.Message(msg, nil)
						synctest.Wait() // one after another comes to the line
					}
					i := 0
					if waits {
						i = len(all) - 1
					}
					r := &all[i]
					tc.end(r)
					synctest.Wait()
					if got, want := r.b.GotTrailers.Count(), map[bool]int{true: 1}[waits]; got != want {
						t.Errorf("before the compressor has returned the call ended %d times, want %d", got, want)
					}
					close(g.open)
					synctest.Wait()
					if got := r.b.RecvMessage.Message; got != nil || r.b.GotMessage.Err() != tc.err || r.b.GotTrailers.Err() != tc.last {
						t.Errorf("recv_message ended with %v and %v, the call with %v", got, r.b.GotMessage.Err(), r.b.GotTrailers.Err())
					}
					for j := range all {
						if j != i {
							if all[j].b.RecvMessage.Message.Len() != away {
								t.Errorf("another call has received %v", all[j].b.RecvMessage.Message)
							}
							all[j].st.Trailers(nil, nil)
						}
						wantLastReference(t, msgs[j])
						all[j].end(t, "headers message trailers")
					}
				})
			})
		}
	}
}

// workers is how many messages of a connection are inflated at the same time.
func workers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// TestLine: no more messages than that are inflated at the same time, and all come
// to it in the end.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		_, all := receivers(t, callstacktest.Server, g.config(), "gate", 5*workers())
		for i := range all {
			all[i].st.Message(g.message('x', away), nil)
		}
		synctest.Wait()
		if got := int(g.atWork.Load()); got != workers() {
			t.Errorf("%d messages are at work, want %d", got, workers())
		}
		for i := range all {
			select {
			case g.open <- struct{}{}:
			default:
				t.Fatalf("nobody works for message %d", i)
			}
			synctest.Wait()
		}
		for i := range all {
			if got := all[i].b.RecvMessage.Message.Len(); got != away {
				t.Errorf("call %d has a message of %d bytes", i, got)
			}
			all[i].st.Trailers(nil, nil)
			all[i].end(t, "headers message trailers")
		}
		if got := int(g.atMost.Load()); got != workers() {
			t.Errorf("%d messages were at work, want at most %d", got, workers())
		}
	})
}

// closing is the operation that ends a connection because of err.
func closing(err error) *transport.Op { return &transport.Op{Disconnect: err} }

// TestClose: when a connection is closed its calls get no message any more, also those
// whose peers have ended them well, and whoever waits for the goroutines waits for a
// piece, not for a message.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const want = "the connection was closed while a message was inflated"
		g := newGate()
		stack, all := receivers(t, callstacktest.Client, g.config(), "gate", workers()+2)
		last := len(all) - 1
		for i := range all[:last] {
			all[i].st.Message(g.message('x', away), nil)
			all[i].st.Trailers(callstacktest.Client.FillTrailers, nil)
		}
		synctest.Wait()
		var stopped atomic.Bool
		go func() {
			stack.StartTransportOp(closing(&transport.Error{Code: status.Canceled, Layer: "test", Reason: "enough"}))
			stack.Stop()
			stopped.Store(true)
		}()
		synctest.Wait()
		if stopped.Load() {
			t.Error("Stop has not waited for the goroutine")
		}
		if got := all[last-1].b.GotMessage.Count(); got != 1 {
			t.Errorf("what waited has ended %d times", got)
		}
		close(g.open)
		synctest.Wait()
		if !stopped.Load() {
			t.Error("Stop has not returned")
		}
		all[last].st.Message(g.message('x', away), nil) // which comes too late
		all[last].st.Trailers(callstacktest.Client.FillTrailers, nil)
		for i := range all {
			err := all[i].b.GotMessage.Err()
			if status.CodeOf(err) != status.Canceled || !strings.Contains(err.Error(), want) || all[i].b.GotTrailers.Err() != err {
				t.Errorf("message %d ended with %v, the call with %v, want CANCELLED with %q", i, err, all[i].b.GotTrailers.Err(), want)
			}
			all[i].end(t, "headers message trailers")
		}
		stack.Destroy()
	})
}

// TestStop: what has come whole before a connection has ended by itself is inflated to
// its end, for which whoever tidies up waits.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		stack, all := receivers(t, callstacktest.Client, g.config(), "gate", workers()+2)
		for i := range all {
			all[i].st.Message(g.message('x', away), nil)
			all[i].st.Trailers(callstacktest.Client.FillTrailers, nil)
		}
		var stopped atomic.Bool
		go func() {
			stack.Stop()
			stopped.Store(true)
		}()
		synctest.Wait()
		if stopped.Load() {
			t.Error("Stop has not waited for the goroutines")
		}
		close(g.open)
		synctest.Wait()
		if !stopped.Load() {
			t.Error("Stop has not returned")
		}
		for i := range all {
			if got, err := all[i].b.RecvMessage.Message, all[i].b.GotTrailers.Err(); got.Len() != away || err != nil {
				t.Errorf("call %d ended with %v and %v", i, got, err)
			}
			all[i].end(t, "headers message trailers")
		}
		stack.Destroy()
	})
}

// TestCompressorsThatBreak on a goroutine of ours end their call, and nothing else.
func TestCompressorsThatBreak(t *testing.T) {
	for first, want := range map[byte]string{
		'p': `compressor "gate" panicked: on purpose`,
		'g': `compressor "gate" ended the goroutine`,
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				close(g.open)
				_, all := receivers(t, callstacktest.Client, g.config(), "gate", 4)
				for i, first := range []byte{first, first, first, 'x'} {
					all[i].st.Message(g.message(first, away), nil)
				}
				synctest.Wait()
				for i := range all[:3] {
					err := all[i].b.GotMessage.Err()
					if status.CodeOf(err) != status.Internal || !strings.Contains(err.Error(), want) || all[i].b.GotTrailers.Err() != err {
						t.Errorf("message %d ended with %v, want INTERNAL with %q", i, err, want)
					}
					all[i].end(t, "headers message trailers")
				}
				if got := all[3].b.RecvMessage.Message; got.Len() != away {
					t.Errorf("the next message is %v", got)
				}
				all[3].st.Trailers(callstacktest.Client.FillTrailers, nil)
				all[3].end(t, "headers message trailers")
			})
		})
	}
}

// TestLongMessagesInOrder: a stream's messages come one after another, the next
// asked for in the callback of the one before.
func TestLongMessagesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, all := receivers(t, callstacktest.Client, config{}, "gzip", 1)
		r := &all[0]
		r.st.Message(nil, nil)
		var got []string
		batches := [4]*callstacktest.Batch{}
		var next func(i int)
		next = func(i int) {
			b := callstacktest.NewBatch(transport.OpRecvMessage)
			batches[i] = b
			b.RecvMessage.Ready = doneFunc(func(err error) {
				m := b.RecvMessage.Message
				got = append(got, fmt.Sprint(m.Len(), " ", m.Len() > 0 && m.Bytes()[m.Len()-1] == byte(i), err))
				m.Release()
				if i < len(batches)-1 {
					next(i + 1)
				}
			})
			r.Stack.StartBatch(&b.StreamOpBatch)
		}
		next(0)
		for i := range batches {
			n := map[bool]int{true: 100, false: 1 << 20}[i == 2]
			r.st.Message(compressed(t, encoding.Gzip{}, strings.Repeat(string(rune(i)), n)), nil)
			if i == len(batches)-1 {
				r.st.Trailers(callstacktest.Client.FillTrailers, nil)
			}
			synctest.Wait()
		}
		if want := []string{"1048576 true <nil>", "1048576 true <nil>", "100 true <nil>", "1048576 true <nil>"}; !slices.Equal(got, want) {
			t.Errorf("messages are %q, want %q", got, want)
		}
		r.end(t, "headers message trailers")
	})
}

type doneFunc func(err error)

func (f doneFunc) Run(err error) { f(err) }

// TestLongMessageBeforeItsHeaders waits for them, and then is inflated elsewhere.
func TestLongMessageBeforeItsHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr, compression.New(g.config())))
		if err := c.Begin(callstacktest.Client.Args()); err != nil {
			t.Fatal(err)
		}
		st := tr.Streams()[0]
		b := c.Do(transport.OpRecvMessage)
		st.Message(g.message('x', away), nil)
		rest := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		st.Headers(headers(callstacktest.Client, "gate", ""), nil)
		st.Trailers(func(md *metadata.List) { md.SetStatus(uint32(status.OK), "") }, nil)
		synctest.Wait()
		if g.atWork.Load() != 1 || rest.GotTrailers.Count() != 0 {
			t.Error("the message is not at work, or the call has ended before it")
		}
		close(g.open)
		synctest.Wait()
		if b.RecvMessage.Message.Len() != away || rest.GotTrailers.Count() != 1 {
			t.Errorf("the call ended %d times with %v", rest.GotTrailers.Count(), b.RecvMessage.Message)
		}
		b.RecvMessage.Message.Release()
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block was not recycled")
		}
	})
}

// A canceller is a coding whose messages end the call that they belong to as soon as
// they are looked at, and have no end themselves.
type canceller struct{ cancel func() }

func (*canceller) Name() string                               { return "gate" }
func (*canceller) Compress(io.Writer) (io.WriteCloser, error) { return nil, io.ErrClosedPipe }
func (c *canceller) Decompress(io.Reader) (io.Reader, error)  { c.cancel(); return endless{}, nil }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestCancelledOnTheWay: a cancel that comes when a message is about to leave the
// reader is not overlooked.
func TestCancelledOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, coding := errors.New("gone"), &canceller{}
		_, all := receivers(t, callstacktest.Client, config{Compressors: []encoding.Compressor{coding}}, "gate", 1)
		r := &all[0]
		r.b.RecvMessage.Limit = 1 << 30
		coding.cancel = func() {
			r.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = gone })
		}
		r.st.Message(flagged("x"), nil)
		synctest.Wait()
		const want = "the call was cancelled while a message was inflated"
		if err := r.b.GotMessage.Err(); status.CodeOf(err) != status.Canceled || !strings.Contains(err.Error(), want) {
			t.Errorf("recv_message ended with %v, want CANCELLED with %q", err, want)
		}
		if err := r.b.GotTrailers.Err(); err != gone {
			t.Errorf("the call ended with %v, want %v", err, gone)
		}
		r.end(t, "headers message trailers")
	})
}

// TestGivenUpAtWork: what is not wanted any more is not inflated to its end.
func TestGivenUpAtWork(t *testing.T) {
	for name, giveUp := range map[string]func(r *receiver, stack *callstack.ChannelStack){
		"cancelled": func(r *receiver, _ *callstack.ChannelStack) {
			r.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = io.ErrClosedPipe })
		},
		"closed": func(_ *receiver, stack *callstack.ChannelStack) { stack.StartTransportOp(closing(io.ErrClosedPipe)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &counter{reached: make(chan struct{})}
				stack, all := receivers(t, callstacktest.Client, config{Compressors: []encoding.Compressor{c}}, "gate", 1)
				r := &all[0]
				r.b.RecvMessage.Limit = 1 << 30
				r.st.Message(flagged("x"), nil)
				<-c.reached
				giveUp(r, stack)
				synctest.Wait()
				c.reached <- struct{}{} // it goes on
				synctest.Wait()
				if r.b.GotMessage.Err() == nil || c.reads != countedReads {
					t.Errorf("recv_message ended with %v after %d reads, want %d", r.b.GotMessage.Err(), c.reads, countedReads)
				}
				r.st.Trailers(nil, nil)
				r.end(t, "headers message trailers")
			})
		})
	}
}

// A counter is a coding whose messages have no end, and of which the test hears after
// so many reads. Then it waits for the test.
type counter struct {
	reached chan struct{}
	reads   int
}

const countedReads = 5

func (*counter) Name() string                               { return "gate" }
func (*counter) Compress(io.Writer) (io.WriteCloser, error) { return nil, io.ErrClosedPipe }
func (c *counter) Decompress(io.Reader) (io.Reader, error)  { return c, nil }
func (c *counter) Read(p []byte) (int, error) {
	if c.reads++; c.reads == countedReads {
		c.reached <- struct{}{}
		<-c.reached
	}
	return len(p), nil
}
