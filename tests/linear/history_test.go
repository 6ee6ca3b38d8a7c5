package linear

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer3_cq/cqtest"
)

const (
	maxClients = 5                // goroutines of a history; fewer than cq.MaxPluckers
	maxCalls   = 8                // random calls of each, before it ends what it began
	tags       = 3                // shared by all, so that clients wait for the same
	checkLimit = 10 * time.Second // for one history; the checker's time grows without bound
)

var past = time.Unix(0, 0)

// A history is what the clients of one queue did, in the order of a clock that
// counts their calls and returns.
type history struct {
	q     cqtest.Queue
	clock atomic.Int64

	mu  sync.Mutex
	ops []porcupine.Operation
}

// record has clients work on q at once and returns what they did. The seed
// gives their programs, not how they meet.
func record(q cqtest.Queue, seed uint64) []porcupine.Operation {
	h := &history{q: q}
	r := rand.New(rand.NewPCG(seed, 0))
	clients := 2 + r.IntN(maxClients-1)
	var running sync.WaitGroup
	start := make(chan struct{})
	for id := range clients {
		c := &client{history: h, id: id, rand: rand.New(rand.NewPCG(seed, uint64(id+1)))}
		running.Go(func() {
			<-start
			c.work()
		})
	}
	close(start)
	running.Wait()
	slices.SortFunc(h.ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	return h.ops
}

// A client is one goroutine of a history.
type client struct {
	*history
	id    int
	rand  *rand.Rand
	begun []int
	ops   []porcupine.Operation
}

// work makes random calls, ends what it began, shuts the queue down and takes
// what is left until it is told of the end.
func (c *client) work() {
	for range 1 + c.rand.IntN(maxCalls) {
		c.random()
		if c.rand.IntN(4) == 0 {
			runtime.Gosched()
		}
	}
	for len(c.begun) > 0 {
		c.end()
	}
	c.do(call{verb: shutdown})
	for tag := 0; tag < tags; {
		if c.do(call{verb: forever, tag: tag}).event.Type == cq.QueueShutdown {
			tag++ // on a Pluck queue there may be events of the others
		}
	}
	c.history.mu.Lock()
	c.history.ops = append(c.history.ops, c.ops...)
	c.history.mu.Unlock()
}

// random makes one call.
func (c *client) random() {
	tag := c.rand.IntN(tags)
	switch n := c.rand.IntN(20); {
	case n < 6:
		if c.do(call{verb: begin, tag: tag}).ok {
			c.begun = append(c.begun, tag)
		}
	case n < 12:
		c.end()
	case n < 15:
		c.do(call{verb: poll, tag: tag})
	case n < 18:
		c.do(call{verb: wait, tag: tag})
	case n < 19:
		c.do(call{verb: pending})
	default:
		c.do(call{verb: shutdown})
	}
}

// end ends one of the operations that c began, if there is one.
func (c *client) end() {
	if len(c.begun) == 0 {
		return
	}
	i := c.rand.IntN(len(c.begun))
	tag := c.begun[i]
	c.begun = slices.Delete(c.begun, i, i+1)
	c.do(call{verb: end, tag: tag, success: c.rand.IntN(2) == 0})
}

// do makes one call and writes it down.
func (c *client) do(in call) result {
	op := porcupine.Operation{ClientId: c.id, Input: in, Call: c.clock.Add(1)}
	out := c.call(in)
	op.Output, op.Return = out, c.clock.Add(1)
	c.ops = append(c.ops, op)
	return out
}

// call makes one call.
func (c *client) call(in call) (out result) {
	switch in.verb {
	case begin:
		out.ok = c.q.BeginOp(in.tag)
	case end:
		c.q.EndOp(in.tag, in.success, nil, new(cq.Completion))
	case shutdown:
		c.q.Shutdown()
	case pending:
		out.count = c.q.Pending()
	case poll:
		out.event = c.take(in.tag, past)
	case forever:
		out.event = c.take(in.tag, time.Time{})
	case wait:
		soon := time.Duration(c.rand.IntN(20)) * time.Microsecond
		if c.rand.IntN(2) == 0 {
			out.event = c.take(in.tag, time.Now().Add(soon))
			break
		}
		done := make(chan struct{})
		defer time.AfterFunc(soon, func() { close(done) }).Stop()
		if c.q.Type() == cq.Pluck {
			out.event = c.q.PluckDone(in.tag, done)
		} else {
			out.event = c.q.NextDone(done)
		}
	}
	return out
}

// take asks for the event of tag, or on a Next queue for any.
func (c *client) take(tag int, deadline time.Time) cq.Event {
	switch {
	case c.q.Type() == cq.Pluck:
		return c.q.Pluck(tag, deadline)
	case deadline.Equal(past):
		return c.q.TryNext()
	}
	return c.q.Next(deadline)
}

// fault looks for a history of queues like newQueue's that is not linearizable,
// for as long as it is given, and returns the first, nil for none. It counts
// those it looked at.
func fault(t *testing.T, kind cq.CompletionType, newQueue func() cqtest.Queue, d time.Duration) (ops []porcupine.Operation, looked int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for start := time.Now(); time.Since(start) < d; looked++ {
		ops := record(newQueue(), seed+uint64(looked))
		switch porcupine.CheckOperationsTimeout(model(kind), ops, checkLimit) {
		case porcupine.Illegal:
			return ops, looked + 1
		case porcupine.Unknown:
			t.Errorf("a history of %d calls was not checked in %v", len(ops), checkLimit)
		}
	}
	return nil, looked
}

// TestLinearizable looks for a history that is not, and is to find none.
func TestLinearizable(t *testing.T) {
	d := 20 * time.Second
	if testing.Short() {
		d = 2 * time.Second
	}
	for _, kind := range []cq.CompletionType{cq.Next, cq.Pluck} {
		t.Run(kind.String(), func(t *testing.T) {
			debug := false
			newQueue := func() cqtest.Queue {
				debug = !debug // with it, BeginOp and EndOp do more under the lock
				return cq.New(kind, cq.Config{Debug: debug})
			}
			ops, looked := fault(t, kind, newQueue, d)
			for _, op := range ops {
				t.Log(text(op, kind))
			}
			if ops != nil {
				t.Error("this history is not linearizable")
			}
			t.Logf("%d histories", looked)
			if looked < 10 {
				t.Errorf("looked at %d histories, want more", looked)
			}
		})
	}
}
