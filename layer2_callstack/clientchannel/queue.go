package clientchannel

import (
	"sync"
	"sync/atomic"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
)

// A pickerBox is a picker with the trace event that led to it.
type pickerBox struct {
	picker balancer.Picker
	fixed  *balancer.PickResult // what picker always answers, nil if it has to be asked; set by publish
	event  trace.EventID
	closed error // how calls end that nobody picks for any more; nil before SHUTDOWN
}

// A pickQueue is the present picker and the calls that wait for the next one,
// in the order in which they came. Calls that have batches and have not begun
// wait too: not for a picker, but they have to hear of the end of the channel.
//
// Invariant: a call in the list holds a reference of its block, and has seen
// the present picker answer "queue" or not asked it, or publish is about to
// resume it.
type pickQueue struct {
	// Atomic: written under mu, read by every pick.
	picker atomic.Pointer[pickerBox]

	mu sync.Mutex // taken after call.mu
	// Guarded by mu, as are the links of the calls in the list.
	head, tail *call
}

// add appends x, which holds x.mu, unless it is in the list already. It reports
// false if box is no longer the present picker, so that x picks again.
func (q *pickQueue) add(x *call, box *pickerBox) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.picker.Load() != box {
		return false
	}
	if x.queued {
		return true
	}
	x.queued = true
	x.args.Owner.Ref()
	if x.prev = q.tail; x.prev != nil {
		x.prev.next = x
	} else {
		q.head = x
	}
	q.tail = x
	return true
}

// remove takes x, which holds x.mu and is in the list, out of it.
func (q *pickQueue) remove(x *call) {
	q.mu.Lock()
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		q.head = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		q.tail = x.prev
	}
	x.prev, x.next = nil, nil
	q.mu.Unlock()
	x.queued = false
	x.args.Owner.Unref() // not the last: whoever removes a call refers to it
}

// publish makes box the present picker and picks the queued calls again, in
// order. It runs on the serializer.
func (q *pickQueue) publish(box *pickerBox) {
	box.fixed = balancer.FixedResult(box.picker)
	q.mu.Lock()
	q.picker.Store(box)
	var waiting []*call
	for x := q.head; x != nil; x = x.next {
		x.args.Owner.Ref()
		waiting = append(waiting, x)
	}
	q.mu.Unlock()
	for _, x := range waiting {
		x.resume()
	}
}
