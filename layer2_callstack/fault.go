package callstack

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// layerName is how errors of this package call it.
const layerName = "callstack"

// faultInterval is how long a filter's faults are counted, rather than warned of,
// after a warning: one that breaks in each call would fill a log.
const faultInterval = 10 * time.Second

// A FaultLog tells of the faults of filters that are contained, at most once in
// 10 s for each filter. The stacks of a channel or server share one.
type FaultLog struct {
	// Set by NewFaultLog, read-only afterwards.
	handler slog.Handler

	mu sync.Mutex // a leaf
	// Guarded by mu.
	filters map[string]*slog.Logger
}

// NewFaultLog returns a FaultLog that writes to l, nil for slog.Default().
func NewFaultLog(l *slog.Logger) *FaultLog {
	if l == nil {
		l = slog.Default()
	}
	return &FaultLog{handler: l.Handler(), filters: make(map[string]*slog.Logger)}
}

// report warns of a fault. The stack is that of who noticed: in a panic, of who
// panicked.
func (l *FaultLog) report(filter, fault string) {
	l.mu.Lock()
	log := l.filters[filter]
	if log == nil {
		log = slog.New(warnlimit.New(warnlimit.WithStack(l.handler), faultInterval)).With("filter", filter)
		l.filters[filter] = log
	}
	l.mu.Unlock()
	log.Warn("callstack: a filter broke a rule", "fault", fault)
}

// newFault returns the status of a call whose filter broke a rule. What is in
// cause, such as what a panic says, the peer is not told.
func newFault(filter, rule string, cause error) *transport.Error {
	return &transport.Error{Code: status.Internal, Layer: layerName, Reason: fmt.Sprintf("filter %q %s", filter, rule), Cause: cause}
}

// panicked returns the value of a panic as a cause.
func panicked(p any) error {
	const most = 256 // bytes: it becomes part of a status
	text := fmt.Sprint(p)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return errors.New(text)
}

// Everything that leaves a contained filter does so through one of these three,
// by whose names passedThrough finds out whose panic it is.

// batchDown gives b to the element below.
func batchDown(next CallElem, b *transport.StreamOpBatch) { next.StartBatch(b) }

// opDown gives op to the element below.
func opDown(next ChannelElem, op *transport.Op) { next.StartTransportOp(op) }

// runUp runs a callback of the element above.
func runUp(done transport.Done, err error) { done.Run(err) }

// passedThrough reports whether a panic, which the caller is recovering from, began
// beyond the filter's neighbours and only came through the filter on its way: it
// is none of the filter's, nor the guard's to stop.
func passedThrough() bool {
	const pkg = "layer2_callstack."
	pcs := make([]uintptr, 256)
	n := runtime.Callers(1, pcs)
	for ; n == len(pcs); n = runtime.Callers(1, pcs) { // who panicked may be deep down
		pcs = make([]uintptr, 2*n)
	}
	frames := runtime.CallersFrames(pcs[:n])
	for {
		f, more := frames.Next()
		switch _, fn, _ := strings.Cut(f.Function, pkg); fn {
		case "batchDown", "opDown", "runUp":
			return true
		case "(*guard).giveOp", "(*guard).Destroy", "(*guard).Stop",
			"(*guardCall).init", "(*guardCall).start", "(*guardCall).reset", "(*guardCall).give", "(*guardCall).giveBack":
			return false
		}
		if !more {
			return false
		}
	}
}

// fail ends the call because the filter broke a rule, unless it did before.
func (c *guardCall) fail(rule string, cause error) {
	if !c.acquire() {
		c.late(rule)
		return
	}
	defer c.owner.Unref()
	fault := newFault(c.guard.name, rule, cause)
	c.guard.faults.report(c.guard.name, fault.Error())
	if !c.fault.CompareAndSwap(nil, fault) {
		return
	}
	var held transport.OpSet
	for {
		w := c.load()
		held = w.held()
		if c.swap(w, w.release(held).put(ending, held)|broken|over) {
			break
		}
	}
	batchDown(c.next, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: fault})
	c.end(held, fault, true)
}

// late tells of a use of a call that is over.
func (c *guardCall) late(rule string) {
	c.guard.faults.report(c.guard.name, rule+" after the end of the call")
}

// acquire refers to the call's block, if there is a call and somebody else does: a
// filter that does wrong may have no reference.
func (c *guardCall) acquire() bool {
	if !c.load().has(live) {
		return false
	}
	if c.block == nil {
		c.owner.Ref()
	} else if !c.block.Acquire(c.block.Generation()) {
		return false
	}
	if c.load().has(live) {
		return true
	}
	c.owner.Unref() // between two calls
	return false
}

// An acquirer is an owner that can tell whether it is in use, as a [Block] can.
type acquirer interface {
	Acquire(generation uint32) bool
	Generation() uint32
}
