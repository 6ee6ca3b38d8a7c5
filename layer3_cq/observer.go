package cq

// An Identity is what an observer is told of the queue in which a step was
// taken. A [Queue] is one.
type Identity interface {
	// Name returns the name that the queue was configured with.
	Name() string
	// Type returns how the queue delivers its events.
	Type() CompletionType
}

// An Observer is told of each step of a queue, for traces and walkthroughs.
// Its methods run on the goroutine that takes the step, without any lock of the
// queue, and may run at once on several of them.
type Observer interface {
	// Create: the queue was made, or made a fresh one by Init.
	Create(q Identity)

	// Begin: an operation was begun.
	Begin(q Identity, tag Tag)

	// End: an operation has completed. It comes before the event can be seen.
	End(q Identity, tag Tag, success bool)

	// Wait: a goroutine asks for an event, with Pluck for that of tag, with
	// Next and Drain for any, tag being nil. A Return on the same goroutine
	// follows.
	Wait(q Identity, tag Tag)

	// Return: an event is delivered. Next or Pluck is about to return it, or
	// the functor of a Callback queue is about to run.
	Return(q Identity, ev Event)

	// Shutdown: the queue has shut down, the last operation having completed.
	Shutdown(q Identity)
}
