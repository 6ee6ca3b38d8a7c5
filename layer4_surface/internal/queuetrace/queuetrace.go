// Package queuetrace makes events of a trace of what a completion queue tells
// its observer, and joins them with what the operations are about.
//
//	layer 4          Begin(q, tag, of call 7)      End(q, tag, cause)
//	                   │                             │
//	layer 3          q.BeginOp(tag)                q.EndOp(tag)        q.Pluck
//	                   │ Observer                    │                   │
//	the trace        begin_op of call 7 ──▶ … ──▶ end_op ──▶ pluck.return
//
// Layer 3 knows neither calls nor causes, and an operation is a tag to it. So
// whoever begins or ends one tells the observer a moment before what is behind
// the tag. Without a trace there is no observer, and nobody tells anything.
//
// # Locks
//
// observer.mu is a leaf; no event is emitted while it is held.
package queuetrace

import (
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Link is what an operation is about. The zero Link is nothing known.
type Link struct {
	Call  uint64
	Batch uint32
	Cause trace.EventID // of begin_op, or of end_op
}

// New returns an observer that emits to sink, nil for a nil sink.
func New(sink trace.Sink) cq.Observer {
	if sink == nil {
		return nil
	}
	return &observer{sink: sink, ops: map[place][]*op{}, lives: map[kin]trace.EventID{}}
}

// An observer is that of any number of queues. It remembers no queue, so that
// those which come and go can be collected.
type observer struct {
	sink trace.Sink // set by New, read-only afterwards

	mu sync.Mutex
	// Guarded by mu.
	ops   map[place][]*op       // begun or expected and not delivered, oldest first
	lives map[kin]trace.EventID // cq.create or shutdown, the last of each
}

// A place is where the operations of one tag are.
type place struct {
	queue cq.Identity
	tag   cq.Tag
}

// A kin is all queues that look alike in a trace. A queue that has shut down may
// be in use anew when the observer is told, and can be told by no more than that.
type kin struct {
	name string
	kind cq.CompletionType
}

// An op is one operation. Guarded by observer.mu.
type op struct {
	Link        // Cause is of the next event
	stage stage // the next event
}

// A stage is how far an operation has come.
//
//	expected ──begin_op──▶ begun ──End──▶ ending ──end_op──▶ ended ──return──▶ gone
type stage uint8

const (
	expected stage = iota
	begun
	ending // begun, and its end was announced
	ended
)

// Begin says what the operation is about that q is about to begin with tag.
// Where BeginOp then fails, Drop takes it back. Both do nothing for a queue that
// does not report to sink.
func Begin(q *cq.Queue, sink trace.Sink, tag cq.Tag, l Link) {
	if o := of(q, sink); o != nil && canBeKey(tag) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.addLocked(place{q, tag}, &op{Link: l})
	}
}

// Drop takes the last Begin of tag back.
func Drop(q *cq.Queue, sink trace.Sink, tag cq.Tag) {
	if o := of(q, sink); o != nil && canBeKey(tag) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if p := o.findLocked(place{q, tag}, expected); p != nil {
			o.removeLocked(place{q, tag}, p)
		}
	}
}

// End says what led to the end of the operation that q is about to end with
// tag. A zero Call or Batch leaves what Begin has said.
func End(q *cq.Queue, sink trace.Sink, tag cq.Tag, l Link) {
	o := of(q, sink)
	if o == nil || !canBeKey(tag) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var found *op
	for _, p := range o.ops[place{q, tag}] {
		// Operations of several calls may have one tag.
		if p.stage == begun && (found == nil || p.Call == l.Call && p.Batch == l.Batch) {
			found = p
		}
	}
	if found == nil {
		return
	}
	found.stage = ending
	if l.Call != 0 {
		found.Call, found.Batch = l.Call, l.Batch
	}
	if l.Cause != 0 {
		found.Cause = l.Cause
	}
}

// of returns the observer of q if it emits to sink.
func of(q *cq.Queue, sink trace.Sink) *observer {
	if o, ok := q.Observer().(*observer); ok && canBeKey(sink) && o.sink == sink {
		return o
	}
	return nil
}

// canBeKey reports whether v can be a key.
func canBeKey(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }

// addLocked, findLocked and removeLocked keep the operations of a tag, oldest
// first. Caller holds o.mu.
func (o *observer) addLocked(at place, p *op) { o.ops[at] = append(o.ops[at], p) }

func (o *observer) findLocked(at place, s stage) *op {
	for _, p := range o.ops[at] {
		if p.stage == s {
			return p
		}
	}
	return nil
}

func (o *observer) removeLocked(at place, p *op) {
	rest := slices.DeleteFunc(o.ops[at], func(have *op) bool { return have == p })
	if o.ops[at] = rest; len(rest) == 0 {
		delete(o.ops, at)
	}
}

// emit sends an event about an operation of q, nil for none, which it makes the
// cause of the operation's next one.
func (o *observer) emit(q cq.Identity, p *op, e trace.Event) {
	e.Layer, e.Component = 3, "cq"
	k := kin{q.Name(), q.Type()}
	if k.name != "" {
		e.Component = "cq:" + k.name
	}
	o.mu.Lock()
	if p != nil {
		e.Call, e.Batch, e.Cause = p.Call, p.Batch, p.Cause
	}
	if e.Cause == 0 {
		e.Cause = o.lives[k]
	}
	o.mu.Unlock()
	id := o.sink.Emit(&e)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case p != nil:
		p.Cause = id
	case e.Op == "cq.create" || e.Op == "shutdown":
		o.lives[k] = id
	}
}

// take moves the oldest operation of tag that is at one of the stages from to
// another one. Where none is known it returns a new one.
func (o *observer) take(q cq.Identity, tag cq.Tag, to stage, from ...stage) *op {
	if !canBeKey(tag) {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, at := range from {
		if p := o.findLocked(place{q, tag}, at); p != nil {
			p.stage = to
			return p
		}
	}
	p := &op{stage: to}
	o.addLocked(place{q, tag}, p)
	return p
}

// Create is told that q was made.
func (o *observer) Create(q cq.Identity) {
	o.emit(q, nil, trace.Event{Op: "cq.create", Text: q.Type().String()})
}

// Begin is told that an operation was begun.
func (o *observer) Begin(q cq.Identity, tag cq.Tag) {
	o.emit(q, o.take(q, tag, begun, expected), trace.Event{Op: "begin_op", Tag: Tag(tag)})
}

// End is told that an operation has completed.
func (o *observer) End(q cq.Identity, tag cq.Tag, success bool) {
	o.emit(q, o.take(q, tag, ended, ending, begun), trace.Event{Op: "end_op", Dir: trace.DirUp, Tag: Tag(tag), Text: result(success)})
}

// Wait is told that a goroutine asks for an event.
func (o *observer) Wait(q cq.Identity, tag cq.Tag) {
	e := trace.Event{Op: step(q, "wait")}
	if tag == nil || !canBeKey(tag) {
		o.emit(q, nil, e)
		return
	}
	e.Tag = Tag(tag)
	o.mu.Lock()
	var about *op
	if ops := o.ops[place{q, tag}]; len(ops) > 0 {
		copied := *ops[0] // to wait for an operation does not lead to its next event
		about = &copied
	}
	o.mu.Unlock()
	o.emit(q, about, e)
}

// Return is told that Next or Pluck returns, or that a functor is run.
func (o *observer) Return(q cq.Identity, ev cq.Event) {
	e := trace.Event{Op: step(q, "return"), Dir: trace.DirUp, Text: ev.Type.String()}
	if ev.Type != cq.OpComplete {
		o.emit(q, nil, e)
		return
	}
	e.Tag, e.Text = Tag(ev.Tag), result(ev.Success)
	p := o.take(q, ev.Tag, ended, ended)
	if p != nil {
		o.mu.Lock()
		o.removeLocked(place{q, ev.Tag}, p)
		o.mu.Unlock()
	}
	o.emit(q, p, e)
}

// Shutdown is told that a queue has shut down.
func (o *observer) Shutdown(q cq.Identity) {
	o.emit(q, nil, trace.Event{Op: "shutdown"})
}

// step names a step by the kind of delivery: "next.wait", "pluck.return". A
// callback has no wait, and its return is its run.
func step(q cq.Identity, step string) string {
	switch q.Type() {
	case cq.Pluck:
		return "pluck." + step
	case cq.Callback:
		return "callback.run"
	default:
		return "next." + step
	}
}

func result(ok bool) string {
	if ok {
		return "success"
	}
	return "failure"
}

// Tag shows a tag so that it is the same in every run: a plain value by its
// text, everything else by its type, since an address says nothing.
func Tag(tag cq.Tag) string {
	switch v := reflect.ValueOf(tag); v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprint(tag)
	default:
		return fmt.Sprintf("%T", tag)
	}
}
