package cq

import "time"

// Pluck returns the oldest event of tag, waiting for one until deadline, and
// leaves the events of other tags alone. The zero deadline never comes; with
// one in the past Pluck does not wait, but still returns an event that is
// there. Of two callers that pluck one tag, one gets its event.
//
// At most [MaxPluckers] callers may be waiting; one more gets QueueTimeout at
// once. QueueShutdown comes when no operation is outstanding any more, even if
// events of other tags were never plucked: Drain takes them.
//
// Pluck and PluckDone panic on a queue that is not a Pluck queue.
func (q *Queue) Pluck(tag Tag, deadline time.Time) Event {
	q.mustBe(Pluck, "Pluck")
	return q.wait(want{tag: tag}, limit{deadline: deadline})
}

// PluckDone is Pluck with a channel for a deadline: it returns QueueTimeout once
// done is closed. A nil done never is. This is how a stub waits for its call:
// on a queue embedded in the call, whose one waiter is reused, so that parking
// allocates nothing (TestAllocsPluckParked).
func (q *Queue) PluckDone(tag Tag, done <-chan struct{}) Event {
	q.mustBe(Pluck, "PluckDone")
	return q.wait(want{tag: tag}, limit{done: done})
}
