package worker

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type taskFunc func()

func (f taskFunc) Run() { f() }

func (p *Pool) counts() (running, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running, len(p.idle)
}

func wantCounts(t *testing.T, p *Pool, running, idle int) {
	t.Helper()
	if r, i := p.counts(); r != running || i != idle {
		t.Errorf("%d running, %d idle; want %d and %d", r, i, running, idle)
	}
}

// TestWorkersAreUsedAgain: the one that became idle last gets the next task.
func TestWorkersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		for range 100 {
			p.Go(taskFunc(func() {}))
			synctest.Wait()
		}
		wantCounts(t, &p, 1, 1)
		<-p.Close()
	})
}

// TestTasksDoNotWait: as many run at once as there are, and only 256 workers
// are kept.
func TestTasksDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		var all sync.WaitGroup
		all.Add(1000)
		release := make(chan struct{})
		for range 1000 {
			p.Go(taskFunc(func() { all.Done(); <-release }))
		}
		all.Wait()
		wantCounts(t, &p, 1000, 0)
		close(release)
		synctest.Wait()
		wantCounts(t, &p, maxIdle, maxIdle)
		<-p.Close()
	})
}

// TestIdleWorkersEnd: those that had nothing to do from one sweep to the next
// end, and a busy one stays.
func TestIdleWorkersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		release := make(chan struct{})
		for range 10 {
			p.Go(taskFunc(func() { <-release }))
		}
		close(release)
		for range 10 { // one of them keeps working
			time.Sleep(sweepTime / 5)
			p.Go(taskFunc(func() {}))
		}
		synctest.Wait()
		wantCounts(t, &p, 1, 1)
		time.Sleep(2 * sweepTime)
		synctest.Wait()
		wantCounts(t, &p, 0, 0)
		p.Go(taskFunc(func() {}))
		synctest.Wait()
		wantCounts(t, &p, 1, 1)
		<-p.Close()
	})
}

// TestGoexit: a task that ends its goroutine costs the pool that worker only.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		p.Go(taskFunc(runtime.Goexit))
		synctest.Wait()
		wantCounts(t, &p, 0, 0)
		<-p.Close()
	})
}

// TestClose: idle workers end at once, busy ones with their tasks, and tasks
// after Close run all the same.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		release := make(chan struct{})
		p.Go(taskFunc(func() { <-release }))
		p.Go(taskFunc(func() {}))
		synctest.Wait()
		done := p.Close()
		synctest.Wait()
		wantCounts(t, &p, 1, 0)
		select {
		case <-done:
			t.Error("closed while a task runs")
		default:
		}
		ran := false
		p.Go(taskFunc(func() { ran = true }))
		close(release)
		<-done
		<-p.Close()
		synctest.Wait()
		if !ran {
			t.Error("a task after Close did not run")
		}
		wantCounts(t, &p, 0, 0)
	})
}

func BenchmarkGo(b *testing.B) {
	var p Pool
	done := make(chan struct{}, 1)
	task := taskFunc(func() { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		p.Go(task)
		<-done
	}
	<-p.Close()
}
