package clientchannel

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
)

// watchLog takes note of what a watcher is told.
type watchLog struct {
	mu     sync.Mutex
	states []string // guarded by mu
	panics bool
}

func (l *watchLog) OnState(s connectivity.State, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := s.String()
	if cause != nil && s == connectivity.TransientFailure {
		text += "!"
	}
	l.states = append(l.states, text)
	if l.panics {
		panic("watcher")
	}
}

func (l *watchLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.states, " ")
}

func TestWatchers(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		watch, stopped, bad := &watchLog{}, &watchLog{}, &watchLog{panics: true}
		for _, x := range []*watchLog{bad, watch, stopped} {
			w.ch.StartTransportOp(&transport.Op{StartWatch: x})
		}
		w.resolve("a:1")
		time.Sleep(1500 * ms) // tries again; the state is sticky
		w.ch.StartTransportOp(&transport.Op{StopWatch: stopped})
		w.serve("a:1", nil)
		time.Sleep(2 * time.Second)
		w.transport(0).tell(connectivity.Shutdown, errors.New("gone"))
		synctest.Wait()
		w.close()
		want := "IDLE CONNECTING TRANSIENT_FAILURE! READY IDLE SHUTDOWN"
		if got := watch.String(); got != want {
			t.Errorf("the watcher was told %q, want %q", got, want)
		}
		if got, want := stopped.String(), "IDLE CONNECTING TRANSIENT_FAILURE!"; got != want {
			t.Errorf("the stopped watcher was told %q, want %q", got, want)
		}
		if got := bad.String(); got != want {
			t.Errorf("the panicking watcher was told %q, want %q", got, want)
		}
	})
}
