package surface

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// TestCloseRace: goroutines create calls through a filter that keeps some of them,
// cancel and release them, while the channel is closed. Every batch ends, no call
// outlives the channel, and every block comes back.
func TestCloseRace(t *testing.T) {
	for _, over := range []string{"inproc", "http2"} {
		for _, ops := range []transport.OpSet{0, transport.OpSendInitialMetadata, transport.OpSendMessage, transport.OpRecvTrailingMetadata} {
			t.Run(fmt.Sprintf("%s/%v", over, ops), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testCloseRace(t, over, keeper{ops: ops}) })
			})
		}
	}
}

func testCloseRace(t *testing.T, over string, k keeper) {
	e := newEchoServer(t, WithLogger(quietLogger()))
	defer e.server.Close()
	counter := new(countingFilter)
	above, atConn := k.extra(), stacks.Extra{Filter: counter, After: []string{"authority"}}
	opts := []ChannelOption{WithChannelFilter(above), WithFilter(atConn)}
	if rand.N(2) == 0 { // the keeper at the connection, the counter above it
		opts = []ChannelOption{WithFilter(above), WithChannelFilter(stacks.Extra{Filter: counter})}
	}
	ch := connectBy(t, e.server, over, opts...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for raceWithClose(t, ch, &wg) {
			}
		})
	}
	for range rand.N(200) {
		runtime.Gosched()
	}
	start := time.Now()
	wg.Go(ch.Close)
	ch.Close()
	wg.Wait() // for calls that nobody else ends
	if d := time.Since(start); d != 0 {
		t.Errorf("the calls ended %v after Close", d)
	}
	synctest.Wait()
	if begun, ended := counter.counts(); begun != ended {
		t.Errorf("%d calls were begun, and the blocks of %d came back", begun, ended)
	}
}

// raceWithClose makes a call and ends it in some way. It reports false when the
// channel is closed. What the call has left to do is added to wg.
func raceWithClose(t *testing.T, ch *Channel, wg *sync.WaitGroup) bool {
	c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
	if err != nil {
		if status.CodeOf(err) != status.Canceled {
			t.Errorf("CreateCall = %v", err)
		}
		return false
	}
	kind := rand.N(6)
	if kind == 0 { // a call without any operation
		wg.Go(c.Release)
		return true
	}
	st := new(clientState)
	if e := c.StartBatch([]Op{opSendHeaders(), st.opHeaders(), st.opStatus()}, st); e != CallOK {
		t.Errorf("StartBatch = %v", e)
	}
	if kind == 1 {
		wg.Go(func() { c.Cancel() })
	}
	if e := c.StartBatch([]Op{opSend("x"), opClose(), st.opMessage()}, &st.message); e != CallOK {
		t.Errorf("StartBatch = %v", e)
	}
	if kind == 2 {
		wg.Go(func() { c.CancelWithStatus(status.DataLoss, "a test") })
	}
	wait := func() {
		c.Pluck(&st.message, nil)
		c.Pluck(st, nil)
		if code := st.status.Code; code != status.OK && code != status.Canceled && code != status.DataLoss {
			t.Errorf("a call ended with %v %q", code, st.status.Message)
		}
		text(st.message)
		c.Release()
	}
	if kind == 3 {
		wait = func() { // and takes what has come of the call
			c.Cancel()
			c.Pluck(&st.message, nil)
			c.Pluck(st, nil)
			text(st.message)
			wg.Go(c.Release)
			c.Release()
		}
	}
	wg.Go(wait)
	runtime.Gosched()
	return true
}

// TestClosedBlocksAreCollected: a channel keeps no block that its pool lets go of,
// and soon knows of no more than about twice those that there are.
func TestClosedBlocksAreCollected(t *testing.T) {
	ch := newNullChannel(t)
	const many, few = 4000, 40
	open := func(n int) {
		calls := make([]Call, n)
		for i := range calls {
			calls[i], _ = ch.CreateCall(CallParams{Method: "/a/b"})
		}
		for _, c := range calls {
			c.c.state.Or(stateEnded)
			c.Release()
		}
	}
	open(many)
	if n := ch.calls.made.Len(); n < many/2 {
		t.Fatalf("the channel knows of %d blocks, want about %d", n, many)
	}
	alive := func() (n int) {
		for range ch.calls.made.All() {
			n++
		}
		return n
	}
	for end := testDeadline(); alive() > 0; {
		runtime.GC()
		if time.Now().After(end) {
			t.Fatalf("%d blocks were not collected", alive())
		}
	}
	for range 3 {
		open(few)
		runtime.GC()
		runtime.GC()
	}
	if n := ch.calls.made.Len(); n > 3*few {
		t.Errorf("after a burst of %d calls the channel knows of %d blocks, want at most %d", many, n, 3*few)
	}
}
