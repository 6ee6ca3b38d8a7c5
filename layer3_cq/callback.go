package cq

import "fmt"

// endCallback completes an operation of a Callback queue. There is no queue:
// the finalizer runs, then the tag, on this goroutine. The count is given up
// last, so that the queue has not shut down before its last functor returned.
func (q *Queue) endCallback(tag Tag, success bool, f Finalizer, c *Completion) {
	fn := q.functor("EndOp", tag)
	q.mu.Lock()
	fault := q.faultLocked(tag)
	q.mu.Unlock()
	if fault != "" {
		q.misuse("EndOp", fmt.Sprintf("got tag %s: %s", tagText(tag), fault))
	}
	// Deferred, so that a functor that panics or ends its goroutine is counted.
	defer q.release()
	if obs := q.cfg.Observer; obs != nil {
		obs.Return(q, Event{Type: OpComplete, Success: success, Tag: tag})
	}
	if f != nil {
		f.CompletionDone(c)
	}
	// c may hold another operation by now.
	fn.Run(success)
}

// release takes one off the pending count.
func (q *Queue) release() {
	q.mu.Lock()
	var end ending
	last := q.releaseLocked(&end)
	q.mu.Unlock()
	if last {
		end.run()
	}
}

// functor returns tag as what a tag of a Callback queue has to be.
func (q *Queue) functor(method string, tag Tag) Functor {
	fn, ok := tag.(Functor)
	if !ok {
		q.misuse(method, fmt.Sprintf("got tag %s, which is not a Functor", tagText(tag)))
	}
	return fn
}
