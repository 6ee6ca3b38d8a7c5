package compression_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// alone are the callbacks of one call. That they never run at the same time the race
// detector sees by ran, which nothing guards.
type alone struct{ ran int }

// of returns done as one of them.
func (a *alone) of(done transport.Done) transport.Done {
	return doneFunc(func(err error) {
		a.ran++
		runtime.Gosched()
		a.ran++
		done.Run(err)
	})
}

// start starts a batch whose callbacks are watched.
func (a *alone) start(c *callstacktest.Call, ops transport.OpSet, edit ...func(*callstacktest.Batch)) *callstacktest.Batch {
	return c.Do(ops, append(edit, func(b *callstacktest.Batch) {
		if b.OnComplete != nil {
			b.OnComplete = a.of(b.OnComplete)
		}
		b.RecvInitialMetadata.Ready = a.of(b.RecvInitialMetadata.Ready)
		b.RecvMessage.Ready = a.of(b.RecvMessage.Ready)
		b.RecvTrailingMetadata.Ready = a.of(b.RecvTrailingMetadata.Ready)
	})...)
}

// TestRaces has long messages inflated while their calls send, and are ended by all
// that can end a call, at about the same time: each operation ends once, none at the
// same time as another, and the end last.
func TestRaces(t *testing.T) {
	loops := 500
	if testing.Short() {
		loops = 100
	}
	packed := [...]*transport.Buffer{
		compressed(t, encoding.Gzip{}, strings.Repeat("a message that is not short ", 40_000)), // 1 MB, 5 KB on the wire
		zeros(t, 5<<20), // passes the limit
		edited(zeros(t, 300<<10), func(p []byte) []byte { p[len(p)-6] ^= 1; return p }), // has a wrong checksum
		flagged(noise(away)),
		zeros(t, 100),
	}
	gone := errors.New("gone")
	for side, s := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		for _, inTurn := range []bool{true, false} { // headers before the message, or perhaps after it
			for name, ends := range map[string][]func(r *raced){
				"trailers":                    {(*raced).ok},
				"reset":                       {func(r *raced) { r.st.Trailers(nil, gone) }},
				"cancel":                      {func(r *raced) { r.cancel(gone) }},
				"cancel and trailers":         {func(r *raced) { r.cancel(gone) }, (*raced).ok},
				"cancels, and a close":        {func(r *raced) { r.cancel(gone) }, func(r *raced) { r.cancel(gone) }, (*raced).stop},
				"trailers, and a close":       {(*raced).ok, (*raced).stop},
				"everything at the same time": {(*raced).ok, func(r *raced) { r.cancel(gone) }, func(r *raced) { r.st.Trailers(nil, gone) }, (*raced).stop},
			} {
				t.Run(side+"/"+map[bool]string{true: "", false: "early/"}[inTurn]+name, func(t *testing.T) {
					for range loops {
						race(t, s, packed[rand.IntN(len(packed))], inTurn, ends)
					}
				})
			}
		}
	}
}

// A raced is one call in TestRaces.
type raced struct {
	receiver
	side  callstacktest.Side
	alone alone
	stop_ func()
}

func (r *raced) ok()   { r.st.Trailers(r.side.FillTrailers, nil) }
func (r *raced) stop() { r.stop_() }
func (r *raced) cancel(why error) {
	r.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
}

// passOn makes an element that does nothing.
func passOn(next callstack.CallElem) callstack.CallElem { return &callstack.CallBase{Next: next} }

func race(t *testing.T, side callstacktest.Side, msg *transport.Buffer, inTurn bool, ends []func(*raced)) {
	tr := &callstacktest.Transport{}
	b := callstack.NewBuilder("TEST")
	if rand.IntN(2) == 0 { // a user's filter above, whose guard has its own eye on all this
		b.Add(callstack.NewFilter("above", passOn)).Before(compression.Name).Contained()
	}
	b.Add(compression.New(config{}))
	b.Add(connected.New()).Terminal()
	args := callstack.ChannelArgs{Transport: tr}
	if rand.IntN(4) == 0 {
		args.Trace = trace.NewRecorder(trace.LevelEvents).Endpoint("test", "")
	}
	stack, err := b.Build(args)
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(stack)
	if err := c.Begin(side.Args()); err != nil {
		t.Fatal(err)
	}
	r := &raced{receiver: receiver{c, tr.Streams()[0], nil}, side: side, stop_: sync.OnceFunc(func() {
		stack.StartTransportOp(closing(errors.New("closed")))
		stack.Stop()
	})}
	last := make(chan struct{})
	var batches []*callstacktest.Batch
	do := func(ops transport.OpSet, edit ...func(*callstacktest.Batch)) {
		batches = append(batches, r.alone.start(c, ops, edit...))
	}
	do(transport.OpRecvMessage)
	message := batches[0]
	do(transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
		done := b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = doneFunc(func(err error) {
			if n := message.GotMessage.Count(); n != 1 {
				t.Errorf("recv_message had ended %d times when the call ended", n)
			}
			done.Run(err)
			close(last)
		})
	})
	if inTurn {
		do(transport.OpRecvInitialMetadata)
		r.st.Headers(headers(side, "gzip", ""), nil)
	}
	msg.Ref()
	spin := func() {
		for range rand.IntN(200) {
			runtime.Gosched()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		r.st.Message(msg, nil)
		if !inTurn {
			spin()
			do(transport.OpRecvInitialMetadata)
			r.st.Headers(headers(side, "gzip", ""), nil)
		}
	})
	var sent []*callstacktest.Batch
	if inTurn || side == callstacktest.Client {
		wg.Go(func() {
			for _, op := range []transport.OpSet{transport.OpSendInitialMetadata, transport.OpSendMessage, transport.OpSendTrailingMetadata} {
				sent = append(sent, r.alone.start(c, op))
			}
		})
	}
	for _, f := range ends {
		wg.Go(func() {
			spin()
			f(r)
		})
	}
	wg.Wait()
	if !inTurn { // which came too early perhaps
		r.ok()
	}
	<-last
	r.stop()
	for _, b := range append(batches, sent...) {
		if n := len(b.Order()); n != 1 {
			t.Errorf("%v ended %d times", b.Ops, n)
		}
	}
	message.RecvMessage.Message.Release()
	c.Unref()
	if c.Recycled() != 1 {
		t.Error("the block was not recycled")
	}
	stack.Destroy()
}
