package cq

import (
	"fmt"
	"reflect"
	"strconv"
)

// A Tag identifies one operation to whoever started it. The queue never looks
// into it: a Next queue hands it back, a Pluck queue also compares it with ==
// and so wants a comparable value, and on a Callback queue it is the [Functor].
type Tag = any

// tagText names tag in the text of a panic, without what it points to or holds:
// that may be a secret, and in use by another goroutine.
func tagText(tag Tag) string {
	switch k := reflect.ValueOf(tag).Kind(); {
	case k == reflect.Pointer:
		return fmt.Sprintf("%p (%T)", tag, tag)
	case k <= reflect.Complex128, k == reflect.String: // numbers, and nil
		return fmt.Sprintf("%v (%T)", tag, tag)
	}
	return fmt.Sprintf("of type %T", tag)
}

// An EventType says why Next or Pluck returned. The values are gRPC core's.
type EventType uint8

const (
	// QueueShutdown: the queue has shut down and this caller has nothing more
	// to expect from it. It is returned for ever after.
	QueueShutdown EventType = iota
	// QueueTimeout: no event came before the deadline.
	QueueTimeout
	// OpComplete: the operation of Event.Tag has completed.
	OpComplete
)

// String returns gRPC core's name of the type.
func (t EventType) String() string {
	switch t {
	case QueueShutdown:
		return "QUEUE_SHUTDOWN"
	case QueueTimeout:
		return "QUEUE_TIMEOUT"
	case OpComplete:
		return "OP_COMPLETE"
	}
	return "EventType(" + strconv.Itoa(int(t)) + ")"
}

// An Event is what Next and Pluck return. Success and Tag are zero unless Type
// is OpComplete.
type Event struct {
	Type    EventType
	Success bool // what EndOp was given
	Tag     Tag  // what BeginOp was given
}

// A CompletionType says how the events of a queue are delivered. A queue has
// one for its life; asking a queue for another kind of delivery panics.
type CompletionType uint8

const (
	// Next queues deliver events in order of completion to any caller of Next.
	Next CompletionType = iota
	// Pluck queues deliver each event to the caller that asks for its tag.
	Pluck
	// Callback queues run the tag, a [Functor], on the goroutine that
	// completed the operation.
	Callback
)

// String returns gRPC core's name of the type.
func (t CompletionType) String() string {
	switch t {
	case Next:
		return "NEXT"
	case Pluck:
		return "PLUCK"
	case Callback:
		return "CALLBACK"
	}
	return "CompletionType(" + strconv.Itoa(int(t)) + ")"
}

// MaxPluckers is how many goroutines may be parked in Pluck on one queue, the
// limit of gRPC core. It bounds the search that each EndOp makes among them.
// One more returns QueueTimeout at once.
const MaxPluckers = 6

// Config tunes a queue. The zero value is ready to use.
type Config struct {
	// Observer is told what happens in the queue. Nil means nobody is.
	Observer Observer

	// OnShutdown runs once, with true, when a Callback queue has shut down and
	// its last functor has returned. Nil means nothing runs. Setting it on a
	// queue of another type panics: there, Next and Pluck tell.
	OnShutdown Functor

	// Name appears in the texts of panics. Empty means the queue has none.
	Name string

	// Debug keeps a list of the tags begun and not ended, so that ending one
	// that was never begun panics and names it. The list is searched by EndOp.
	Debug bool
}

// A Functor is the tag of an operation on a Callback queue.
type Functor interface {
	// Run is called when the operation has completed, with the success that
	// EndOp was given, on EndOp's goroutine and with no lock of the queue held.
	// It may begin further operations and must not wait for the queue itself.
	Run(ok bool)
}

// A Finalizer learns that a completion was delivered: gRPC core's done().
type Finalizer interface {
	// CompletionDone runs when the event of c is dequeued, on the goroutine
	// that Next or Pluck is about to return it to, or right before the functor
	// on a Callback queue. From here on c may be used for another operation,
	// and on Next and Pluck queues the queue is not touched again for this
	// event. No lock of the queue is held.
	CompletionDone(c *Completion)
}

// A Completion is the storage of one event on its way through a queue. It is
// embedded in what was started, a batch or a requested call, so that EndOp has
// nothing to allocate. It belongs to the queue from EndOp until its event is
// dequeued. The zero value is ready to use.
type Completion struct {
	// Owned by the queue between EndOp and delivery, under Queue.mu while linked.
	next      *Completion
	tag       Tag
	finalizer Finalizer // nil for none
	success   bool
	linked    bool // in a queue's list
}
