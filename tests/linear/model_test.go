package linear

import (
	"fmt"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A verb is what is called.
type verb uint8

const (
	begin verb = iota
	end
	poll     // Next or Pluck with a deadline in the past
	wait     // the same with one in the future, or a channel that closes
	forever  // the same without
	shutdown // Shutdown
	pending  // Pending
)

// A call is what a client asks of the queue.
type call struct {
	verb    verb
	tag     int // of begin and end, and of waits on a Pluck queue
	success bool
}

// A result is what it got: of a call, what it has.
type result struct {
	ok    bool // BeginOp
	count int  // Pending
	event cq.Event
}

// A state is what a queue is to one goroutine: two lists and two flags.
type state struct {
	begun  []int // tags, in no order
	queued []cq.Event
	closed bool // Shutdown was called
}

// over reports whether the queue has shut down.
func (s state) over() bool { return s.closed && len(s.begun) == 0 }

// step reports whether c may have had result r in state s, and what the state
// is then.
func (s state) step(c call, r result, kind cq.CompletionType) (bool, state) {
	switch c.verb {
	case begin:
		ok := r.ok != s.over()
		if r.ok {
			s.begun = append(slices.Clone(s.begun), c.tag)
		}
		return ok, s
	case end:
		i := slices.Index(s.begun, c.tag)
		if i < 0 {
			return false, s
		}
		s.begun = slices.Delete(slices.Clone(s.begun), i, i+1)
		s.queued = append(slices.Clip(s.queued), cq.Event{Type: cq.OpComplete, Success: c.success, Tag: c.tag})
		return true, s
	case shutdown:
		s.closed = true
		return true, s
	case pending:
		want := len(s.begun)
		if !s.closed {
			want++
		}
		return r.count == want, s
	}
	i := slices.IndexFunc(s.queued, func(ev cq.Event) bool { return kind == cq.Next || ev.Tag == c.tag })
	switch {
	case i >= 0:
		ok := r.event == s.queued[i]
		s.queued = slices.Delete(slices.Clone(s.queued), i, i+1)
		return ok, s
	case s.over():
		return r.event == cq.Event{Type: cq.QueueShutdown}, s
	}
	return c.verb != forever && r.event == cq.Event{Type: cq.QueueTimeout}, s
}

// model is a queue of one type for the checker.
func model(kind cq.CompletionType) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, output any) (bool, any) {
			return s.(state).step(input.(call), output.(result), kind)
		},
		Equal: func(a, b any) bool {
			x, y := a.(state), b.(state)
			return x.closed == y.closed && slices.Equal(x.queued, y.queued) && sameTags(x.begun, y.begun)
		},
	}
}

// sameTags reports whether a and b hold the same tags as often.
func sameTags(a, b []int) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// text shows an operation as a line of a history.
func text(op porcupine.Operation, kind cq.CompletionType) string {
	c, r := op.Input.(call), op.Output.(result)
	var what string
	switch c.verb {
	case begin:
		what = fmt.Sprintf("BeginOp(%d) = %t", c.tag, r.ok)
	case end:
		what = fmt.Sprintf("EndOp(%d, %t)", c.tag, c.success)
	case shutdown:
		what = "Shutdown()"
	case pending:
		what = fmt.Sprintf("Pending() = %d", r.count)
	default:
		limit := map[verb]string{poll: "past", wait: "soon", forever: "never"}[c.verb]
		what = fmt.Sprintf("Next(%s)", limit)
		if kind == cq.Pluck {
			what = fmt.Sprintf("Pluck(%d, %s)", c.tag, limit)
		}
		what += fmt.Sprintf(" = %v tag=%v success=%t", r.event.Type, r.event.Tag, r.event.Success)
	}
	return fmt.Sprintf("%4d-%-4d client %d: %s", op.Call, op.Return, op.ClientId, what)
}

// TestModelTells gives the checker histories that no queue has, each beside one
// that a queue has and that differs in little.
func TestModelTells(t *testing.T) {
	at := func(from, to int64, c call, r result) porcupine.Operation {
		return porcupine.Operation{Call: from, Return: to, Input: c, Output: r}
	}
	did := func(from, to int64, v verb, tag int) porcupine.Operation {
		return at(from, to, call{verb: v, tag: tag}, result{ok: true})
	}
	got := func(from, to int64, v verb, ev cq.Event) porcupine.Operation {
		return at(from, to, call{verb: v}, result{event: ev})
	}
	event := func(tag int) cq.Event { return cq.Event{Type: cq.OpComplete, Tag: tag} }
	none, over := cq.Event{Type: cq.QueueTimeout}, cq.Event{Type: cq.QueueShutdown}
	for _, tc := range []struct {
		name string
		ops  []porcupine.Operation
		want bool
	}{
		{"an event after its EndOp", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, end, 7), got(5, 6, poll, event(7))}, true},
		{"an event during its EndOp", []porcupine.Operation{did(1, 2, begin, 7), did(3, 6, end, 7), got(4, 5, poll, event(7))}, true},
		{"an event before its EndOp", []porcupine.Operation{did(1, 2, begin, 7), got(3, 4, poll, event(7)), did(5, 6, end, 7)}, false},
		{"no event during an EndOp", []porcupine.Operation{did(1, 2, begin, 7), did(3, 6, end, 7), got(4, 5, poll, none)}, true},
		{"no event after an EndOp", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, end, 7), got(5, 6, poll, none)}, false},
		{"an event twice", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, end, 7), got(5, 6, poll, event(7)), got(7, 8, poll, event(7))}, false},
		{"two events out of order", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, begin, 8), did(5, 6, end, 7), did(7, 8, end, 8),
			got(9, 10, poll, event(8)), got(11, 12, poll, event(7))}, false},
		{"two events of EndOps at once, in either order", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, begin, 8), did(5, 8, end, 7), did(6, 7, end, 8),
			got(9, 10, poll, event(8)), got(11, 12, poll, event(7))}, true},
		{"the end while an operation is outstanding", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, shutdown, 0), got(5, 6, poll, over)}, false},
		{"the end before an event", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, shutdown, 0), did(5, 6, end, 7), got(7, 8, poll, over)}, false},
		{"a timeout after the end", []porcupine.Operation{did(1, 2, shutdown, 0), got(3, 4, poll, none)}, false},
		{"a timeout of who waits for ever", []porcupine.Operation{got(3, 4, forever, none)}, false},
		{"an operation begun after the end", []porcupine.Operation{did(1, 2, shutdown, 0), did(3, 4, begin, 7)}, false},
		{"an operation begun after Shutdown, with another outstanding", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, shutdown, 0), did(5, 6, begin, 8)}, true},
		{"an operation refused before the end", []porcupine.Operation{did(1, 2, begin, 7), did(3, 4, shutdown, 0),
			at(5, 6, call{verb: begin, tag: 8}, result{})}, false},
		{"a count that forgets the queue's own", []porcupine.Operation{at(1, 2, call{verb: pending}, result{count: 0})}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := porcupine.CheckOperations(model(cq.Next), tc.ops); got != tc.want {
				t.Errorf("linearizable: %t, want %t", got, tc.want)
			}
		})
	}
}
