package transporttest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// An Owner counts the references of a stream as a call block does, and resets
// the stream when the last one goes. It also keeps the log of the callbacks
// of its stream, so that their order can be checked.
//
// All methods may be called at the same time.
type Owner struct {
	// Set by newOwner, read-only afterwards.
	t    testing.TB
	name string

	mu sync.Mutex
	// Guarded by mu.
	stream  transport.Stream
	gone    chan struct{} // closed when refs reach 0
	log     []string
	running string // the callback that runs at the moment

	// Atomic.
	refs atomic.Int64
}

func newOwner(t testing.TB, name string) *Owner { return &Owner{t: t, name: name} }

// start begins a use of the stream with one reference, the application's.
func (o *Owner) start(s transport.Stream) {
	o.mu.Lock()
	o.stream, o.gone, o.log = s, make(chan struct{}), nil
	o.mu.Unlock()
	o.refs.Store(1)
}

// Ref adds a reference. Somebody must have one already: an owner with none is
// about to be used for another call.
func (o *Owner) Ref() {
	if n := o.refs.Add(1); n <= 1 {
		o.t.Errorf("%s: Ref of an owner that nobody refers to (%d references)", o.name, n)
	}
}

// Unref drops a reference; the last one resets the stream.
func (o *Owner) Unref() {
	switch n := o.refs.Add(-1); {
	case n < 0:
		o.t.Errorf("%s: Unref of an owner that nobody refers to (%d references)", o.name, n)
	case n == 0:
		o.mu.Lock()
		stream, gone := o.stream, o.gone
		o.mu.Unlock()
		stream.Reset()
		close(gone)
	}
}

// Refs returns the number of references.
func (o *Owner) Refs() int64 { return o.refs.Load() }

// Gone returns a channel that is closed when the last reference is gone.
func (o *Owner) Gone() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.gone
}

// Log returns the names of the callbacks that ran, in order.
func (o *Owner) Log() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.log)
}

// String returns the name and the log, for failures.
func (o *Owner) String() string {
	return fmt.Sprintf("%s [%s] %d references", o.name, strings.Join(o.Log(), ", "), o.Refs())
}

// enter checks the rules that hold whenever a callback of a stream runs.
func (o *Owner) enter(name string) {
	o.mu.Lock()
	beside := o.running
	o.running = name
	o.log = append(o.log, name)
	o.mu.Unlock()
	if beside != "" {
		o.t.Errorf("%s: callback of %s ran while that of %s was running", o.name, name, beside)
	}
	if n := o.refs.Load(); n <= 0 {
		o.t.Errorf("%s: callback of %s ran with %d references of the owner", o.name, name, n)
	}
}

func (o *Owner) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running = ""
}
