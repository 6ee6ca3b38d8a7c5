package cq_test

import (
	"slices"
	"testing"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A model is what a queue is to one goroutine: two lists and two flags.
type model struct {
	kind           cq.CompletionType
	begun, queued  []*call
	closing, ended bool // ended: has shut down
}

func (m *model) settle() { m.ended = m.ended || m.closing && len(m.begun) == 0 }

// take returns the event that a poll, of tag on a Pluck queue, has to return.
func (m *model) take(tag *call) cq.Event {
	i := slices.IndexFunc(m.queued, func(c *call) bool { return m.kind == cq.Next || c == tag })
	switch {
	case i >= 0:
		c := m.queued[i]
		m.queued = slices.Delete(m.queued, i, i+1)
		return cq.Event{Type: cq.OpComplete, Success: c.ran == 1, Tag: c}
	case m.ended:
		return cq.Event{Type: cq.QueueShutdown}
	}
	return cq.Event{Type: cq.QueueTimeout}
}

// FuzzQueue runs a program of begins, ends, polls and shutdowns on a queue and
// on the model. The low bits of a byte choose the step, the high ones the tag.
func FuzzQueue(f *testing.F) {
	f.Add(false, []byte{0, 8, 1, 2, 2, 3, 1, 2, 2, 0})
	f.Add(true, []byte{0, 8, 16, 24, 1, 1, 1, 18, 2, 10, 3, 4, 1, 26, 2, 4})
	f.Add(true, []byte{3, 0, 2, 4})
	f.Add(false, []byte{0, 8, 16, 24, 1, 1, 2, 3, 1, 1, 2, 2, 2, 2, 4, 0})
	f.Fuzz(func(t *testing.T, pluck bool, program []byte) {
		kind := cq.Next
		if pluck {
			kind = cq.Pluck
		}
		cfg := cq.Config{Debug: len(program)%2 == 1} // without it a Next queue does without its lock
		q := cq.New(kind, cfg)
		m := &model{kind: kind}
		calls := make([]call, 32) // storage for as many operations at once
		for pc, b := range program {
			c := &calls[b>>3]
			switch b & 7 {
			case 0: // begin, unless c is in use
				if slices.Contains(m.begun, c) || slices.Contains(m.queued, c) {
					continue
				}
				if got := q.BeginOp(c); got == m.ended {
					t.Fatalf("step %d: BeginOp = %t, has shut down = %t", pc, got, m.ended)
				} else if got {
					m.begun = append(m.begun, c)
				}
			case 1: // end one, with success if the tag is odd
				if len(m.begun) == 0 {
					continue
				}
				i := int(b>>3) % len(m.begun)
				c = m.begun[i]
				c.ran = int(b >> 3 & 1)
				q.EndOp(c, c.ran == 1, c, &c.completion)
				m.begun = slices.Delete(m.begun, i, i+1)
				m.queued = append(m.queued, c)
			case 2:
				want, got := m.take(c), poll(q, c)
				if got != want {
					t.Fatalf("step %d: poll = %+v, want %+v", pc, got, want)
				}
			case 3:
				q.Shutdown()
				m.closing = true
			case 4: // a new life, where Init allows it
				if len(m.begun)+len(m.queued) == 0 {
					q.Init(kind, cfg)
					*m = model{kind: kind}
				}
			}
			m.settle()
			want := len(m.begun)
			if !m.closing {
				want++
			}
			if got := q.Pending(); got != want {
				t.Fatalf("step %d: Pending = %d, want %d", pc, got, want)
			}
		}
	})
}

// poll takes an event that is there, that of c on a Pluck queue.
func poll(q *cq.Queue, c *call) cq.Event {
	if q.Type() == cq.Pluck {
		return q.Pluck(c, time.Unix(0, 0))
	}
	return q.TryNext()
}
