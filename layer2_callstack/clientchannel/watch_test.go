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
	stop   func() // called with the first state; may be nil
}

func (l *watchLog) OnState(s connectivity.State, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := s.String()
	if cause != nil && s == connectivity.TransientFailure {
		text += "!"
	}
	l.states = append(l.states, text)
	if l.stop != nil && len(l.states) == 1 {
		l.stop()
	}
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

// TestConnectivityState is gRPC core's connectivity_state_test, as far as it is
// about watchers. What is there the destruction of a tracker is here the end of
// the channel, and an orphaned watcher is one that hears no more.
func TestConnectivityState(t *testing.T) {
	watch := func(w *world) *watchLog {
		l := &watchLog{}
		w.ch.StartTransportOp(&transport.Op{StartWatch: l})
		synctest.Wait()
		return l
	}
	change := func(w *world) { // IDLE to READY and back
		w.serve("a:1", nil)
		w.resolve("a:1")
		w.transport(0).tell(connectivity.Shutdown, nil)
		synctest.Wait()
	}
	shutdown := func(w *world) {
		w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
		synctest.Wait()
	}
	for _, tc := range []struct {
		name string
		run  func(w *world) *watchLog
		want string
	}{
		{"NotificationUponAddingWatcher", watch, "IDLE"},
		{"NotificationUponAddingWatcherWithTransientFailure", func(w *world) *watchLog {
			w.resolve("a:1")
			return watch(w)
		}, "TRANSIENT_FAILURE!"},
		{"NotificationUponStateChange", func(w *world) *watchLog {
			l := watch(w)
			change(w)
			return l
		}, "IDLE CONNECTING READY IDLE"},
		{"SubscribeThenUnsubscribe", func(w *world) *watchLog {
			l := watch(w)
			w.ch.StartTransportOp(&transport.Op{StopWatch: l})
			change(w)
			shutdown(w)
			return l
		}, "IDLE"},
		{"OrphanUponShutdown", func(w *world) *watchLog {
			l := watch(w)
			shutdown(w)
			if n := len(w.ch.control.watchers); n != 0 {
				w.t.Errorf("%d watchers are kept after SHUTDOWN", n)
			}
			return l
		}, "IDLE SHUTDOWN"},
		{"AddWhenAlreadyShutdown", func(w *world) *watchLog {
			shutdown(w)
			l := watch(w)
			if n := len(w.ch.control.watchers); n != 0 {
				w.t.Errorf("%d watchers are kept after SHUTDOWN", n)
			}
			return l
		}, "SHUTDOWN"},
		{"NotifyShutdownAtDestruction", func(w *world) *watchLog {
			l := watch(w)
			w.close()
			return l
		}, "IDLE SHUTDOWN"},
		{"DoNotNotifyShutdownAtDestructionIfAlreadyInShutdown", func(w *world) *watchLog {
			l := watch(w)
			shutdown(w)
			w.close()
			return l
		}, "IDLE SHUTDOWN"},
		{"a watcher stops watching while it is told", func(w *world) *watchLog {
			l := &watchLog{}
			l.stop = func() { w.ch.StartTransportOp(&transport.Op{StopWatch: l}) }
			w.ch.StartTransportOp(&transport.Op{StartWatch: l})
			synctest.Wait()
			change(w)
			return l
		}, "IDLE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				w := newWorld(t)
				if got := tc.run(w).String(); got != tc.want {
					t.Errorf("the watcher was told %q, want %q", got, tc.want)
				}
				w.close()
			})
		})
	}
}
