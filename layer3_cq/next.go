package cq

import "time"

// Next returns the oldest event, waiting for one until deadline. The zero
// deadline never comes; with one in the past Next does not wait, but still
// returns an event that is there. Each event goes to exactly one caller.
//
// Next, TryNext and NextDone panic on a queue that is not a Next queue.
func (q *Queue) Next(deadline time.Time) Event {
	q.mustBe(Next, "Next")
	return q.wait(want{anyTag: true}, limit{deadline: deadline})
}

// TryNext is Next without waiting.
func (q *Queue) TryNext() Event {
	q.mustBe(Next, "TryNext")
	return q.wait(want{anyTag: true}, limit{poll: true})
}

// NextDone is Next with a channel for a deadline: it returns QueueTimeout once
// done is closed. A nil done never is.
func (q *Queue) NextDone(done <-chan struct{}) Event {
	q.mustBe(Next, "NextDone")
	return q.wait(want{anyTag: true}, limit{done: done})
}

// mustBe panics unless method is one for queues like q.
func (q *Queue) mustBe(t CompletionType, method string) {
	if q.kind != t {
		q.misuse(method, "it is for "+t.String()+" queues only")
	}
}
