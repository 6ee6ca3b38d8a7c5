// Package traced judges what a case has left in a trace.
//
// # Contract
//
//   - No event is caused by a later one, and those that never begin anything
//     have a cause.
//   - A call ends once and is cancelled once at the most, at each end.
//   - At the level of events no value of metadata is shown.
//   - Not here: which events there are, TestTraceCatalogue in tests/peers.
//
// # Goroutines
//
// None.
//
// # Locks
//
// Trace.mu is a leaf.
//
// # Reading order
//
// traced.go.
package traced

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// follows are the events that never begin anything, as component and op. What
// an end does by itself, such as to connect, to close or to tell of a socket,
// is not among them.
var follows = map[string]bool{
	"http2 hpack": true, "http2 settings": true, "http2 ping.rtt": true,
	"http2 flow.window": true, "http2 flow.blocked": true, "http2 flow.unblocked": true,
	"client_channel resolver.update": true, "client_channel subchannel.connect": true,
	"client_channel deadline.arm": true, "client_channel deadline.fire": true,
	"client_channel lb.pick": true, "filter element.init": true, "filter op.down": true, "filter op.up": true,
	"filter deadline.arm": true, "filter deadline.fire": true,
	"call start_batch": true, "call batch.reject": true, "call call.status": true, "call match": true,
	"cq end_op": true, "cq next.return": true,
}

// once are the events that a call has one of at the most, at each end.
var once = map[string]bool{"call.create": true, "call.status": true, "call.cancel": true, "match": true}

// public are the header fields whose values hold no secret.
var public = map[string]bool{"content-type": true, "te": true, "user-agent": true, "content-length": true}

// A Trace takes the events of both ends of a case. It costs less than a
// [trace.Recorder], which asks the runtime who emits each of them.
type Trace struct {
	mu sync.Mutex // a leaf
	// Guarded by mu.
	last   trace.EventID
	seen   map[key]trace.EventID
	faults []string
}

// A key is an event that a call has once.
type key struct {
	endpoint string
	call     uint64
	op       string
}

// New returns a trace without events.
func New() *Trace { return &Trace{seen: map[key]trace.EventID{}} }

// Faults lists what was wrong with the events so far.
func (t *Trace) Faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.faults)
}

// Endpoint returns the sink of one channel or server. The names differ, since
// each numbers its calls from 1 on.
func (t *Trace) Endpoint(name string) trace.Sink { return &endpoint{t, name} }

type endpoint struct {
	*Trace
	name string
}

// Level asks for what is always allowed to be shown.
func (*endpoint) Level() trace.Level { return trace.LevelEvents }

// Emit judges an event.
func (p *endpoint) Emit(e *trace.Event) trace.EventID {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	add := func(format string, args ...any) {
		p.faults = append(p.faults, fmt.Sprintf("event %d of the %s, %s %s %q: ", p.last, p.name, e.Component, e.Op, e.Text)+fmt.Sprintf(format, args...))
	}
	component, _, _ := strings.Cut(e.Component, ":") // queues and filters have names
	switch {
	case e.Cause >= p.last:
		add("it is caused by event %d, which was not before", e.Cause)
	case e.Cause == 0 && follows[component+" "+e.Op]:
		add("it has no cause")
	}
	if k := (key{p.name, e.Call, e.Op}); e.Call != 0 && once[e.Op] {
		if before := p.seen[k]; before != 0 {
			add("the same as event %d, for one call", before)
		}
		p.seen[k] = p.last
	}
	for _, f := range e.Fields {
		if f.Value != "" && !isPublic(f.Name) {
			add("it shows the value of %s", f.Name)
		}
	}
	return p.last
}

// isPublic reports whether the value of a header field is one of the protocol's
// own. A status message is the application's.
func isPublic(name string) bool {
	return strings.HasPrefix(name, ":") || public[name] || strings.HasPrefix(name, "grpc-") && name != "grpc-message" && !strings.HasSuffix(name, "-bin")
}
