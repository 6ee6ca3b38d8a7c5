package clientchannel

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A lifeBalancer takes note of its life. Its hooks may be nil.
type lifeBalancer struct {
	funcBalancer
	onClose        func()
	closed, resets int

	mu     sync.Mutex // for timers, which no test can wait for before they run
	build  func()     // guarded by mu
	builds int        // guarded by mu
	none   bool       // Build returns nothing; guarded by mu
}

func (b *lifeBalancer) onBuild(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.build = f
}

func (b *lifeBalancer) built() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.builds
}

func (b *lifeBalancer) Build(host balancer.Host) balancer.Balancer {
	b.mu.Lock()
	b.builds++
	b.host = host
	f, none := b.build, b.none
	b.mu.Unlock()
	if f != nil {
		f()
	}
	if none {
		return nil
	}
	return b
}

func (b *lifeBalancer) Update(u balancer.Update) {
	if b.update != nil {
		b.update(b.host, u)
	}
}

func (b *lifeBalancer) ResetBackoff() { b.resets++ }

func (b *lifeBalancer) Close() {
	b.closed++
	if b.onClose != nil {
		b.onClose()
	}
}

// TestGivenUp: a channel that goes to IDLE, or ends, closes resolver and balancer, each
// once, and what they say afterwards means nothing.
func TestGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(w *world)
		want connectivity.State
	}{
		{"the channel goes to IDLE", func(w *world) { w.ch.EnterIdle() }, connectivity.Idle},
		{"and ends", func(w *world) {
			w.ch.EnterIdle()
			w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
		}, connectivity.Shutdown},
		{"the channel ends", func(w *world) { w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")}) }, connectivity.Shutdown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				watch := &watchLog{}
				b := &lifeBalancer{}
				b.update = func(h balancer.Host, u balancer.Update) { h.NewSubchannel(u.Addresses, watch).Connect() }
				w := newWorld(t, func(c *Config) { c.Balancer = b })
				w.serve("a:1", nil)
				w.resolve("a:1")
				tc.end(w)
				synctest.Wait()
				before := watch.String()
				b.host.UpdateState(balancer.State{Connectivity: connectivity.Ready, Picker: balancer.Fixed(balancer.Queue())})
				b.host.RequestReresolution()
				w.sink.Update(resolver.Result{Err: errors.New("late")})
				w.transport(0).tell(connectivity.Shutdown, errors.New("gone"))
				w.ch.ResetBackoff()
				synctest.Wait()
				w.wantState(tc.want)
				if w.closed != 1 || b.closed != 1 || w.resolved != 0 || b.resets != 0 || w.resets != 0 {
					t.Errorf("closed resolver %d times, balancer %d times; resolved %d times, reset %d and %d times",
						w.closed, b.closed, w.resolved, b.resets, w.resets)
				}
				if got := watch.String(); got != before {
					t.Errorf("the balancer was told %q after %q", got, before)
				}
				if err := w.ch.LastError(); err != nil {
					t.Errorf("LastError %v, want nil", err)
				}
				w.close()
				if w.closed != 1 || b.closed != 1 {
					t.Errorf("closed resolver %d times, balancer %d times", w.closed, b.closed)
				}
			})
		})
	}
}

// TestBehindTheEnd: what was asked for before the end, and comes to its turn after it,
// does nothing.
func TestBehindTheEnd(t *testing.T) {
	run(t, func(t *testing.T) {
		b := &lifeBalancer{}
		w := newWorld(t, func(c *Config) { c.Balancer = b })
		watch := &watchLog{}
		w.ch.serial.schedule(func() { // so that all of these are in its queue
			w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("bye")})
			w.ch.StartTransportOp(&transport.Op{Disconnect: errors.New("and again")})
			w.ch.State(true)
			w.ch.EnterIdle()
			w.ch.serial.schedule(w.ch.exitIdleAfterFailure)
			w.ch.StartTransportOp(&transport.Op{StartWatch: watch})
		})
		synctest.Wait()
		w.wantState(connectivity.Shutdown)
		if w.built != 0 || b.built() != 0 {
			t.Errorf("%d resolvers and %d balancers were built", w.built, b.built())
		}
		if got := watch.String(); got != "SHUTDOWN" || len(w.ch.control.watchers) != 0 {
			t.Errorf("the watcher was told %q, and %d are kept", got, len(w.ch.control.watchers))
		}
		if err := w.ch.shutdownError(); err == nil || err.Error() != "bye" {
			t.Errorf("the channel ended with %v", err)
		}
		w.close()
	})
}

// TestPanicsAtTheEnd: neither a resolver nor a balancer keeps the channel from ending.
func TestPanicsAtTheEnd(t *testing.T) {
	run(t, func(t *testing.T) {
		var log bytes.Buffer
		b := &lifeBalancer{onClose: func() { panic("b") }}
		w := newWorld(t, func(c *Config) {
			c.Balancer = b
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		w.onClose = func() { panic("r") }
		w.resolve("a:1")
		watch := &watchLog{}
		w.ch.StartTransportOp(&transport.Op{StartWatch: watch})
		w.close()
		if got := watch.String(); got != "CONNECTING SHUTDOWN" {
			t.Errorf("the watcher was told %q", got)
		}
		w.wantState(connectivity.Shutdown)
		for _, want := range []string{"a resolver panicked in Close", "balancer test_policy panicked: b"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has %q, want %q", log.String(), want)
			}
		}
	})
}

// TestBuildingAgain: a balancer or a resolver that cannot be built is built again, ever
// more slowly, until the channel is made idle; who resets the backoff does not wait.
func TestBuildingAgain(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func(w *world, b *lifeBalancer, fails bool)
		part string
	}{
		{"the balancer panics", func(_ *world, b *lifeBalancer, fails bool) {
			b.onBuild(func() {
				b.host.RequestReresolution() // of no resolver
				if fails {
					panic("b")
				}
			})
		}, "balancer test_policy panicked: b"},
		{"the resolver is an error", func(w *world, _ *lifeBalancer, fails bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.buildErr = nil; fails {
				w.buildErr = errors.New("no plugin")
			}
		}, "no plugin"},
		{"there is no balancer", func(_ *world, b *lifeBalancer, fails bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.none = fails
		}, "balancer test_policy is nil"},
		{"there is no resolver", func(w *world, b *lifeBalancer, fails bool) {
			b.onBuild(func() { b.host.RequestReresolution() })
			w.mu.Lock()
			defer w.mu.Unlock()
			w.buildNone = fails
		}, "neither a resolver nor an error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, func(t *testing.T) {
				var log bytes.Buffer
				b := &lifeBalancer{}
				w := newWorld(t, func(c *Config) {
					c.Balancer = b
					c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
				})
				watch := &watchLog{}
				w.ch.StartTransportOp(&transport.Op{StartWatch: watch})
				builds := func(want int) {
					t.Helper()
					synctest.Wait()
					if got := b.built(); got != want {
						t.Fatalf("%d builds, want %d", got, want)
					}
				}
				tc.fail(w, b, true)
				w.ch.State(true)
				builds(1)
				if err := w.ch.LastError(); err == nil || !strings.Contains(err.Error(), tc.part) {
					t.Errorf("LastError is %v, want %q", err, tc.part)
				}
				time.Sleep(999 * ms)
				builds(1)
				time.Sleep(ms) // after 1 s
				builds(2)
				time.Sleep(1599 * ms)
				builds(2)
				time.Sleep(ms) // after 1.6 s more
				builds(3)
				w.ch.ResetBackoff()
				builds(4)
				time.Sleep(999 * ms)
				builds(4)
				time.Sleep(ms) // after the first wait again, and not at the end of the one that was cut
				builds(5)
				call := w.begin(callstack.CallArgs{})
				wantCode(t, call.Do(opsUnary), status.Unavailable) // and does not build
				call.Unref()
				builds(5)
				w.ch.EnterIdle()
				time.Sleep(10 * time.Second)
				builds(5)
				w.wantState(connectivity.Idle)
				w.ch.State(true)
				builds(6)
				tc.fail(w, b, false)
				time.Sleep(10 * time.Second)
				builds(7)
				w.ch.ResetBackoff() // not to build
				builds(7)
				if b.resets != 1 || w.resets != 1 {
					t.Errorf("the balancer was reset %d times, the resolver %d times", b.resets, w.resets)
				}
				w.ch.EnterIdle()
				tc.fail(w, b, true)
				synctest.Wait()
				w.ch.State(true)
				builds(8)
				time.Sleep(time.Second) // the first wait again
				builds(9)
				w.close()
				if want := "IDLE CONNECTING TRANSIENT_FAILURE! IDLE CONNECTING TRANSIENT_FAILURE! IDLE CONNECTING TRANSIENT_FAILURE! SHUTDOWN"; watch.String() != want {
					t.Errorf("the watcher was told %q, want %q", watch, want)
				}
				if strings.Contains(log.String(), "in Close") {
					t.Errorf("the log has %s", log.String())
				}
			})
		})
	}
}

// TestResolverErrors: one explains why there is no connection, and nothing while there
// is one.
func TestResolverErrors(t *testing.T) {
	run(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve("a:1", nil)
		w.report(resolver.Result{Err: errors.New("no answer")})
		if err := w.ch.LastError(); err == nil || !strings.HasPrefix(err.Error(), "no answer (") {
			t.Errorf("LastError is %v, want that of the resolver", err)
		}
		w.resolve("a:1")
		w.report(resolver.Result{Err: errors.New("no answer")})
		w.wantState(connectivity.Ready)
		if err := w.ch.LastError(); err != nil {
			t.Errorf("LastError is %v in READY", err)
		}
		if w.logger != w.ch.cfg.Logger {
			t.Error("the resolver got another logger than the channel's")
		}
		w.close()
	})
}

// TestClosedSubchannelsAreForgotten: a balancer that makes and closes them may live long.
func TestClosedSubchannelsAreForgotten(t *testing.T) {
	run(t, func(t *testing.T) {
		var kept balancer.Subchannel
		b := &funcBalancer{update: func(h balancer.Host, u balancer.Update) {
			kept = h.NewSubchannel(u.Addresses, &watchLog{})
			kept.Connect()
			for range 100 {
				h.NewSubchannel(u.Addresses, &watchLog{}).Shutdown()
			}
		}}
		w := newWorld(t, func(c *Config) { c.Balancer = b })
		w.serve("a:1", nil)
		w.resolve("a:1")
		if got := len(w.ch.control.host.subs); got > 2 {
			t.Errorf("%d subchannels are kept, want one that is open", got)
		}
		w.ch.EnterIdle()
		synctest.Wait()
		if !w.transport(0).drained {
			t.Error("the subchannel that was open is still connected")
		}
		w.close()
	})
}

// TestSerializer: functions run one after another, on one goroutine at a time, which is
// there only while there are some.
func TestSerializer(t *testing.T) {
	var started []func()
	var order []int
	s := &serializer{start: func(f func()) { started = append(started, f) }}
	for i := range 2 {
		s.schedule(func() { order = append(order, i) })
	}
	s.schedule(func() {
		s.schedule(func() { order = append(order, 3) })
		s.close()
		if s.schedule(func() {}) {
			t.Error("a closed serializer takes functions")
		}
		order = append(order, 2)
	})
	if len(started) != 1 {
		t.Fatalf("%d goroutines were started, want 1", len(started))
	}
	started[0]()
	for i, got := range order {
		if got != i {
			t.Errorf("functions ran in the order %v", order)
		}
	}
	if len(order) != 4 || s.running {
		t.Errorf("%d functions ran, want 4; running %v", len(order), s.running)
	}
}
