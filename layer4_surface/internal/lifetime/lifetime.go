// Package lifetime is the life of a server: open, then draining, then over.
//
//	open ──Drain──▶ draining ──the last member leaves──▶ over
//
// The listeners and connections of a server are the members of its life. When
// draining begins, each is told, ends in its own time and leaves. Who waits for
// the end does so in Await, or has a tag in a completion queue: gRPC core's
// grpc_server_shutdown_and_notify. Jobs are the goroutines behind the members,
// some of which end a moment later.
//
// # Locks
//
// Life.mu is a leaf. No member is told anything, and no tag posted, while it is
// held.
package lifetime

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A Member is a part of a server that has an end of its own. Both methods may
// be called from any goroutine, more than once, and also when it has ended.
type Member interface {
	// Drain begins the graceful end: nothing new is taken on.
	Drain()
	// Cut ends the member at once.
	Cut()
}

// A Life is one server's. All methods may be called from any goroutine.
type Life struct {
	// Set by New, read-only afterwards.
	draining chan struct{} // closed when draining begins
	over     chan struct{} // closed when the life is over

	begun atomic.Bool // draining has; written under mu

	// jobs grows under mu, and only before draining begins.
	jobs sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	members map[Member]struct{}
	ready   bool // draining has begun, and what comes before the members is done
	tags    []*tag
}

// A tag is posted when the life is over.
type tag struct {
	queue      *cq.Queue
	tag        cq.Tag
	completion cq.Completion
}

// New returns a life that is open.
func New() *Life {
	return &Life{draining: make(chan struct{}), over: make(chan struct{}), members: map[Member]struct{}{}}
}

// Draining is closed when draining begins.
func (l *Life) Draining() <-chan struct{} { return l.draining }

// Begun reports whether draining has begun.
func (l *Life) Begun() bool { return l.begun.Load() }

// Join makes m a member until it leaves. It reports false, and does nothing,
// when draining has begun.
func (l *Life) Join(m Member) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun.Load() {
		return false
	}
	l.members[m] = struct{}{}
	return true
}

// Leave takes m out. If it was the last one of a life that drains, that is over.
func (l *Life) Leave(m Member) {
	l.mu.Lock()
	delete(l.members, m)
	l.mu.Unlock()
	l.check()
}

// Members lists the members.
func (l *Life) Members() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]Member, 0, len(l.members))
	for m := range l.members {
		list = append(list, m)
	}
	return list
}

// AddJob counts a goroutine that Wait waits for, until JobDone. It reports
// false, and does nothing, when draining has begun.
func (l *Life) AddJob() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun.Load() {
		return false
	}
	l.jobs.Add(1)
	return true
}

// JobDone counts a job no more.
func (l *Life) JobDone() { l.jobs.Done() }

// Wait waits until all jobs are done. Draining has begun.
func (l *Life) Wait() { l.jobs.Wait() }

// progressInterval is how often Await reports that it waits.
const progressInterval = time.Second

// Await waits until the life is over or ctx ends, whose cause it returns then.
// Now and then meanwhile it calls report.
func (l *Life) Await(ctx context.Context, report func()) error {
	progress := time.NewTicker(progressInterval)
	defer progress.Stop()
	for {
		select {
		case <-l.over:
			return nil
		case <-progress.C:
			report()
			continue
		case <-ctx.Done():
		}
		select {
		case <-l.over: // both are so
			return nil
		default:
			return context.Cause(ctx)
		}
	}
}

// Drain begins draining, the first time that it is called: it runs first, which
// the end waits for, and then tells the members.
func (l *Life) Drain(first func()) {
	l.mu.Lock()
	begun := l.begun.Swap(true)
	l.mu.Unlock()
	if !begun {
		close(l.draining)
		first()
		l.mu.Lock()
		l.ready = true
		l.mu.Unlock()
		for _, m := range l.Members() {
			m.Drain()
		}
	}
	l.check()
}

// Notify posts tag to q, with success, when the life is over; at once if it is.
// The tag was begun.
func (l *Life) Notify(q *cq.Queue, t cq.Tag) {
	l.mu.Lock()
	l.tags = append(l.tags, &tag{queue: q, tag: t})
	l.mu.Unlock()
	l.check()
}

// check tells those who wait if the life is over.
func (l *Life) check() {
	l.mu.Lock()
	if !l.ready || len(l.members) > 0 {
		l.mu.Unlock()
		return
	}
	tags := l.tags
	l.tags = nil
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	l.mu.Unlock()
	for _, t := range tags {
		t.queue.EndOp(t.tag, true, nil, &t.completion)
	}
}
