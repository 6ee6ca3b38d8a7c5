package worker

import (
	"sync"
	"time"
)

const (
	// maxIdle bounds the goroutines that wait for work. A server that ran
	// 100,000 handlers at once does not keep their stacks.
	maxIdle = 256
	// sweepTime is how often the idle ones are looked at: one that had nothing
	// to do from one look to the next ends.
	sweepTime = 30 * time.Second
)

// A Task is something to be run. Its Run may end its goroutine.
type Task interface{ Run() }

// A Pool runs tasks, each on a goroutine of its own for as long as it lasts.
// The zero Pool is ready to use. Its methods may be called at any time.
//
// Invariant: running == busy workers + len(idle), and low <= len(idle).
type Pool struct {
	mu sync.Mutex // a leaf
	// Guarded by mu.
	idle     []*worker // those that wait, the last one longest busy
	low      int       // the fewest that were idle since the last sweep
	running  int
	sweeper  *time.Timer // made when it is first needed
	sweeping bool        // sweeper is running
	closed   bool
	done     chan struct{} // closed when nothing runs any more; made by Close
}

// A worker is a goroutine with a warm stack.
type worker struct {
	pool  *Pool
	tasks chan Task // capacity 1; closed to end an idle worker
}

// Go runs t. It does not wait for anything: the reading goroutine of a
// connection calls it. After Close it still works, and keeps no worker.
func (p *Pool) Go(t Task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.low = min(p.low, n-1)
		p.mu.Unlock()
		w.tasks <- t
		return
	}
	p.running++
	p.mu.Unlock()
	w := &worker{pool: p, tasks: make(chan Task, 1)}
	go w.loop(t)
}

// loop runs tasks until there is none for too long.
func (w *worker) loop(t Task) {
	// Deferred, so that a task that ends its goroutine is counted too.
	defer w.pool.ended()
	for {
		t.Run()
		if t = w.next(); t == nil {
			return
		}
	}
}

// next waits for a task and returns nil if the worker is to end.
func (w *worker) next() Task {
	p := w.pool
	p.mu.Lock()
	if p.closed || len(p.idle) >= maxIdle {
		p.mu.Unlock()
		return nil
	}
	p.idle = append(p.idle, w)
	if !p.sweeping {
		p.sweepLaterLocked()
	}
	p.mu.Unlock()
	return <-w.tasks
}

// sweepLaterLocked starts the sweeper. Caller holds p.mu.
func (p *Pool) sweepLaterLocked() {
	p.low, p.sweeping = len(p.idle), true
	if p.sweeper == nil {
		p.sweeper = time.AfterFunc(sweepTime, p.sweep)
	} else {
		p.sweeper.Reset(sweepTime)
	}
}

// sweep ends the workers that were idle all the time since the last sweep.
// Those are the first of the list, since work goes to the last. It stops when
// it finds no idle worker, and the next one starts it again.
func (p *Pool) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweeping = false
	if p.closed {
		return
	}
	p.endIdleLocked(p.low)
	if len(p.idle) > 0 {
		p.sweepLaterLocked()
	}
}

// endIdleLocked ends the n workers that have been idle for longest. Caller
// holds p.mu.
func (p *Pool) endIdleLocked(n int) {
	for _, w := range p.idle[:n] {
		close(w.tasks)
	}
	left := copy(p.idle, p.idle[n:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
}

// ended counts a worker that is gone.
func (p *Pool) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	p.checkDoneLocked()
}

// Close ends the idle workers now and the others when their tasks are done.
// The result is closed when all are gone. Close may be called again.
func (p *Pool) Close() (done <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed, p.done = true, make(chan struct{})
		p.endIdleLocked(len(p.idle))
		p.low = 0
		if p.sweeper != nil {
			p.sweeper.Stop()
		}
		p.checkDoneLocked()
	}
	return p.done
}

// checkDoneLocked closes done when the pool is closed and empty. Caller holds
// p.mu.
func (p *Pool) checkDoneLocked() {
	if !p.closed || p.running > 0 {
		return
	}
	select {
	case <-p.done:
	default:
		close(p.done)
	}
}
