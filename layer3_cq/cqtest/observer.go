package cqtest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

var observerCases = []kitCase{
	{name: "the observer is told of each step in order", kinds: all, test: testObserver},
}

func testObserver(t *testing.T, newQueue factory, kind cq.CompletionType) {
	log := new(recorder)
	q := newQueue(kind, cq.Config{Observer: log, Name: "greeter"})
	o := new(op)
	want := []string{"create", "begin tag", "end tag false"}
	o.begin(t, q).end(q, false)
	switch kind {
	case cq.Next:
		q.TryNext()
		q.TryNext()
		want = append(want, "wait", "return OP_COMPLETE", "wait", "return QUEUE_TIMEOUT")
	case cq.Pluck:
		q.Pluck(o, inf)
		q.Pluck(o, past)
		want = append(want, "wait tag", "return OP_COMPLETE", "wait tag", "return QUEUE_TIMEOUT")
	case cq.Callback:
		want = append(want, "return OP_COMPLETE")
	}
	q.Drain()
	want = append(want, "shutdown", "wait", "return QUEUE_SHUTDOWN")
	if !slices.Equal(log.lines, want) {
		t.Errorf("the observer heard\n%q, want\n%q", log.lines, want)
	}
	if who := "greeter " + kind.String(); log.who != who {
		t.Errorf("the observer was told of %q, want %q", log.who, who)
	}
}

// A recorder is an observer that writes down what it hears.
type recorder struct {
	mu    sync.Mutex
	lines []string
	who   string // the name and type of the queue it heard of last
}

func (r *recorder) add(id cq.Identity, line string, tag cq.Tag) {
	if tag != nil {
		line += " tag"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	r.who = id.Name() + " " + id.Type().String()
}

// count returns how often line was heard.
func (r *recorder) count(line string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l == line {
			n++
		}
	}
	return n
}

// Create writes down that a queue was made.
func (r *recorder) Create(id cq.Identity) { r.add(id, "create", nil) }

// Begin writes down that an operation was begun.
func (r *recorder) Begin(id cq.Identity, tag cq.Tag) { r.add(id, "begin", tag) }

// End writes down that one has completed.
func (r *recorder) End(id cq.Identity, _ cq.Tag, success bool) {
	r.add(id, fmt.Sprint("end tag ", success), nil)
}

// Wait writes down that an event was asked for.
func (r *recorder) Wait(id cq.Identity, tag cq.Tag) { r.add(id, "wait", tag) }

// Return writes down what a wait came to.
func (r *recorder) Return(id cq.Identity, ev cq.Event) { r.add(id, "return "+ev.Type.String(), nil) }

// Shutdown writes down that the queue has shut down.
func (r *recorder) Shutdown(id cq.Identity) { r.add(id, "shutdown", nil) }
