package cq

// An Observer is told of each step of a queue, for traces and walkthroughs.
// Its methods run on the goroutine that takes the step, without any lock of the
// queue, and may run at once on several of them. Of the queue they may call Name
// and Type only.
type Observer interface {
	// Begin: an operation was begun.
	Begin(q *Queue, tag Tag)

	// End: an operation has completed. It comes before the event can be seen.
	End(q *Queue, tag Tag, success bool)

	// Wait: a goroutine asks for an event, with Pluck for that of tag, with
	// Next and Drain for any, tag being nil. A Return on the same goroutine
	// follows.
	Wait(q *Queue, tag Tag)

	// Return: an event is delivered. Next or Pluck is about to return it, or
	// the functor of a Callback queue is about to run.
	Return(q *Queue, ev Event)

	// Shutdown: the queue has shut down, the last operation having completed.
	Shutdown(q *Queue)
}
