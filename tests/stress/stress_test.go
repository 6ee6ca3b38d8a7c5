package stress

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
)

const (
	channels   = 6                // that are in use at a time
	longRun    = time.Minute      // without -short
	shortRun   = 3 * time.Second  // with -short
	graceToEnd = 30 * time.Second // after which what has not ended hangs
)

// TestStress makes calls of all kinds while all kinds of things go wrong.
func TestStress(t *testing.T) {
	before := runtime.NumGoroutine()
	length := longRun
	if testing.Short() {
		length = shortRun
	}
	defer watch(length + graceToEnd).Stop()

	v := newVerdict(t)
	cut := &cutter{conns: make(map[net.Conn]bool)}
	lis := listenLow(t)
	h := &host{service: &service{verdict: v}, cut: cut, addr: lis.Addr().String()}
	h.serve(lis)

	stop := make(chan struct{})
	var users, troubles sync.WaitGroup
	troubles.Go(func() { h.trouble(stop) })
	end := time.Now().Add(length)
	for n := range channels {
		users.Go(func() { useChannels(v, fmt.Sprint(n), h.addr, cut, end) })
	}
	users.Wait()
	v.open.Wait()
	close(stop)
	troubles.Wait()
	v.report()
	awaitGoroutines(t, before)
}

// watch ends the program with the stacks of all goroutines, unless the timer
// that it returns is stopped within d.
func watch(d time.Duration) *time.Timer {
	return time.AfterFunc(d, func() {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		panic(fmt.Sprintf("stress: the test has not ended within %v", d))
	})
}

// awaitGoroutines waits until there are no more goroutines than before.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
