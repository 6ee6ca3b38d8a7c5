package callstack_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// A random filter does what chance wants, right or wrong, on the goroutine at hand,
// on others, now and later.
type random struct {
	mu  sync.Mutex
	rng *rand.Rand // guarded by mu

	pass int // of 100 steps, how many are right
}

func (f *random) n(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(n)
}

func (f *random) right() bool { return f.n(100) < f.pass }

// later runs do soon: at once, on another goroutine, after a while.
func (f *random) later(do func()) {
	quiet := func() {
		defer func() {
			if p := recover(); p != nil && p != "random" { // one of a filter's goroutine is its own affair
				panic(p)
			}
		}()
		do()
	}
	switch f.n(4) {
	case 0:
		do()
	case 1:
		go quiet()
	default:
		time.AfterFunc(time.Duration(f.n(4000))*time.Millisecond, quiet)
	}
}

func (f *random) Name() string { return "rogue" }

func (f *random) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &randomChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type randomChannel struct {
	callstack.ChannelBase
	f *random
}

func (ch *randomChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &randomCall{callstack.CallBase{Next: next}, ch.f}
}

type randomCall struct {
	callstack.CallBase
	f *random
}

func (c *randomCall) Init(*callstack.CallArgs) error {
	if !c.f.right() && c.f.n(4) == 0 {
		panic("random")
	}
	return nil
}

func (c *randomCall) Reset() {
	if !c.f.right() && c.f.n(4) == 0 {
		panic("random")
	}
}

func (c *randomCall) StartBatch(b *transport.StreamOpBatch) {
	f, next := c.f, c.Next
	var late transport.StreamOpBatch // a copy, for the batch is lent
	for _, op := range []transport.OpSet{transport.OpsSend, transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata} {
		if b.Ops.Has(op) {
			at := callback(b, op)
			*at = c.callback(*at, &late)
		}
	}
	late = *b
	if f.right() {
		next.StartBatch(b)
		return
	}
	switch f.n(10) {
	case 0:
		panic("random")
	case 1:
		next.StartBatch(b)
		panic("random")
	case 2: // drops it
	case 3:
		next.StartBatch(b)
		f.later(func() { c.passLate(late) })
	case 4:
		f.later(func() { c.passLate(late) })
	case 5:
		part := *b
		part.Ops &= transport.OpSet(f.n(256))
		next.StartBatch(&part)
	case 6:
		callstack.Cancel(next, errLost)
		next.StartBatch(b)
	case 7:
		f.later(func() { callstack.Cancel(next, errLost) })
		next.StartBatch(b)
	case 8:
		next.StartBatch(&transport.StreamOpBatch{Ops: transport.OpSet(f.n(256))})
		next.StartBatch(b)
	case 9:
		if b.Ops.Has(transport.OpsSend | transport.OpsRecv) {
			b.SendMessage.Buf = nil // which may be gone already
			b.Fail(errLost)
		}
	}
}

// passLate passes on a copy of a batch, which may have been passed on before. Its
// message is one that is not given away yet: that would be beyond containing.
func (c *randomCall) passLate(b transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendMessage) {
		b.SendMessage.Buf = transport.NewBuffer(0)
	}
	c.Next.StartBatch(&b)
}

// callback returns a callback in place of done. late is a copy of its batch.
func (c *randomCall) callback(done transport.Done, late *transport.StreamOpBatch) transport.Done {
	f := c.f
	return doneFunc(func(err error) {
		if f.right() {
			done.Run(err)
			return
		}
		switch f.n(7) {
		case 0:
			panic("random")
		case 1:
			done.Run(err)
			panic("random")
		case 2: // drops it
		case 3:
			done.Run(err)
			f.later(func() { done.Run(errLost) })
		case 4, 5:
			f.later(func() { done.Run(err) })
		case 6:
			done.Run(err)
			f.later(func() { c.passLate(*late) })
		}
	})
}

// TestRandomCrimes has filters do wrong things at random, seed by seed. Whatever
// they do each operation ends exactly once, callbacks run one at a time, the end is
// the last of what is received, the block comes back, and what goes wrong carries
// the name of the filter.
func TestRandomCrimes(t *testing.T) {
	seeds := uint64(1500)
	if testing.Short() {
		seeds = 300
	}
	for seed := range seeds {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomCalls(t, seed) })
		})
		if !ok {
			return
		}
	}
}

func randomCalls(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := &random{rng: rand.New(rand.NewPCG(seed, 2)), pass: 50 + rng.IntN(51)}
	tr := &callstacktest.Transport{HoldSends: rng.IntN(2) == 0}
	b := callstack.NewBuilder("TEST")
	b.Add(f).Contained()
	b.Add(connected.New()).Terminal()
	s, err := b.Build(callstack.ChannelArgs{Transport: tr, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	var c *callstacktest.Call
	for range 3 { // the block is used again if it may be
		if c == nil || c.Spent() {
			c = callstacktest.NewCall(s)
		}
		call := &randomScript{rng: rng, side: callstacktest.Side(seed % 2), call: c, recycled: c.Recycled()}
		streams := tr.Streams()
		call.stream = streams[len(streams)-1]
		call.run()
		for _, fault := range call.faults {
			t.Errorf("seed %d: %s", seed, fault)
		}
		if t.Failed() {
			return
		}
	}
	f.mu.Lock()
	f.pass = 100
	f.mu.Unlock()
	time.Sleep(10 * time.Second) // what is to come late
}

// A randomScript is a call that goes as chance wants.
type randomScript struct {
	rng      *rand.Rand
	side     callstacktest.Side
	call     *callstacktest.Call
	stream   *callstacktest.Stream
	recycled int

	running atomic.Int32

	mu          sync.Mutex
	outstanding transport.OpSet
	before      transport.OpSet // what has to end before recv_trailing_metadata
	faults      []string
}

func (s *randomScript) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// started is one operation of a script, or all of a batch that send.
type started struct {
	s   *randomScript
	ops transport.OpSet
	ran bool // guarded by s.mu
}

func (o *started) Run(err error) {
	s := o.s
	beside := s.running.Add(1) != 1
	runtime.Gosched()
	s.mu.Lock()
	switch {
	case beside:
		s.fault("the callback of %s runs beside another", o.ops)
	case o.ran:
		s.fault("%s ended twice", o.ops)
	case o.ops == transport.OpRecvTrailingMetadata && s.before != 0:
		s.fault("the end came while %s was outstanding", s.before)
	case s.call.Recycled() != s.recycled:
		s.fault("%s ended after the block was recycled", o.ops)
	}
	if err != nil && err != errLost && err != errCancel && !strings.Contains(err.Error(), `filter "rogue" `) {
		s.fault("%s ended with %v", o.ops, err)
	}
	o.ran = true
	s.outstanding &^= o.ops
	s.before &^= o.ops
	s.mu.Unlock()
	s.running.Add(-1)
}

// start starts a batch of some of the operations that may be started.
func (s *randomScript) start(pool transport.OpSet) transport.OpSet {
	ops := transport.OpSet(s.rng.IntN(64)) & pool
	if ops == 0 {
		return pool
	}
	s.mu.Lock()
	s.outstanding |= ops
	if ops.Has(transport.OpRecvTrailingMetadata) {
		s.before = s.outstanding & (transport.OpRecvInitialMetadata | transport.OpRecvMessage)
	}
	s.mu.Unlock()
	s.call.Do(ops, func(b *callstacktest.Batch) {
		for _, op := range []transport.OpSet{transport.OpsSend, transport.OpRecvInitialMetadata, transport.OpRecvMessage, transport.OpRecvTrailingMetadata} {
			if ops.Has(op) {
				*callback(&b.StreamOpBatch, op) = &started{s: s, ops: ops & op}
			}
		}
	})
	return pool &^ ops
}

func (s *randomScript) cancel() {
	s.call.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errCancel })
}

func (s *randomScript) run() {
	if err := s.call.Begin(s.side.Args()); err != nil {
		s.cancel()
	}
	pool := transport.OpsSend | transport.OpsRecv
	for range 12 {
		switch s.rng.IntN(8) {
		case 0, 1, 2:
			pool = s.start(pool)
		case 3:
			s.stream.Headers(nil, nil)
		case 4:
			s.stream.Message(transport.NewBuffer(0), nil)
		case 5:
			s.stream.CompleteSends(nil)
		case 6:
			time.Sleep(time.Duration(s.rng.IntN(1000)) * time.Millisecond)
		case 7: // a further message
			s.mu.Lock()
			pool |= (transport.OpSendMessage | transport.OpRecvMessage) &^ s.outstanding
			s.mu.Unlock()
		}
	}
	switch s.rng.IntN(3) {
	case 0:
		s.stream.Trailers(nil, nil)
	case 1:
		s.stream.Trailers(nil, errLost)
	}
	s.stream.CompleteSends(nil)
	time.Sleep(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
	s.cancel()
	for range 5 { // the fake stream ends by itself only what it has as it ends
		time.Sleep(2 * time.Second)
		s.stream.Trailers(nil, errLost)
		s.stream.CompleteSends(errLost)
	}
	time.Sleep(2 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outstanding != 0 {
		s.fault("%s never ended", s.outstanding)
	}
	s.mu.Unlock()
	s.call.Unref()
	time.Sleep(10 * time.Second)
	s.mu.Lock()
	if got := s.call.Recycled(); got != s.recycled+1 {
		s.fault("the block was recycled %d times", got-s.recycled)
	}
}
