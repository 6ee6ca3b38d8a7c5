package cq

// Shutdown begins the end of the queue: it gives up the count that a fresh
// queue holds. Operations already begun still complete and are delivered; the
// queue has shut down when the last of them has completed. The application
// must start no further ones. Calls after the first do nothing.
//
// Goroutines that wait in the queue may stay there: they get what is left, and
// then every call returns QueueShutdown.
func (q *Queue) Shutdown() {
	q.mu.Lock()
	if q.closing || q.count.pending() == 0 {
		q.mu.Unlock()
		return
	}
	q.barLocked() // from here on each EndOp may be the last
	q.closing = true
	var end ending
	last := q.releaseLocked(&end)
	q.mu.Unlock()
	if last {
		end.run()
	}
}

// Drain shuts the queue down, takes the events that are left, whatever their
// tags, and returns when the queue has shut down and is empty. It waits for the
// operations outstanding, so whoever runs them must not be the caller. The
// OnShutdown functor may still be running when it returns.
func (q *Queue) Drain() {
	q.Shutdown()
	for q.wait(want{anyTag: true}, limit{}).Type != QueueShutdown {
	}
}

// releaseLocked takes one off the pending count and reports whether it was the
// last, in which case the queue has shut down and end says who is to be told.
// Caller holds q.mu.
func (q *Queue) releaseLocked(end *ending) (last bool) {
	if !q.count.release() {
		return false
	}
	end.observer, end.functor = q.cfg.Observer, q.cfg.OnShutdown
	if end.observer != nil {
		end.queue = identity{q.cfg.Name, q.kind}
	}
	for w := q.parked; w != nil; w = q.parked {
		q.unparkLocked(w)
		w.next, end.waiters = end.waiters, w
	}
	return true
}

// An ending is who has to be told, without the lock, that a queue has shut
// down.
type ending struct {
	observer Observer
	queue    Identity
	functor  Functor
	waiters  *waiter // parked for events that cannot come any more
}

// run tells them. It does not touch the queue, which may be in use anew as soon
// as its last event was taken or its last waiter woken.
func (e *ending) run() {
	if e.observer != nil {
		e.observer.Shutdown(e.queue)
	}
	for w := e.waiters; w != nil; {
		next := w.next // w is its owner's again after the send
		w.next = nil
		w.wake <- nil
		w = next
	}
	if e.functor != nil {
		e.functor.Run(true)
	}
}

// An identity outlives the use that it tells of.
type identity struct {
	name string
	kind CompletionType
}

func (i identity) Name() string         { return i.name }
func (i identity) Type() CompletionType { return i.kind }
