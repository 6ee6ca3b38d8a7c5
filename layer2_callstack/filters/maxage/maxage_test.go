package maxage

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// exact returns a filter whose connections all become as old as is configured.
func exact(cfg Config) callstack.Filter {
	return &filter{cfg, func() float64 { return 0.5 }}
}

func TestContract(t *testing.T) {
	for name, cfg := range map[string]Config{
		"all":  {MaxConnectionAge: time.Hour, MaxConnectionAgeGrace: time.Hour, MaxConnectionIdle: time.Hour},
		"age":  {MaxConnectionAge: time.Hour},
		"idle": {MaxConnectionIdle: time.Hour},
	} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, callstacktest.Server, New(cfg)) })
	}
}

// done returns what the transport was asked for, each with the time since start.
func done(tr *callstacktest.Transport, when *times) []string {
	synctest.Wait()
	var list []string
	for i, op := range tr.Ops() {
		text := ""
		switch {
		case op.Goaway != nil:
			text = fmt.Sprintf("%v %s", op.Goaway.Code, op.Goaway.Debug)
		case op.Disconnect != nil:
			text = "disconnect"
		}
		list = append(list, fmt.Sprintf("%v %s", when.at(i), text))
	}
	return list
}

// times takes the times at which a transport was asked for something. It stands
// below the filter.
type times struct {
	start time.Time
	ops   chan time.Duration
	taken []time.Duration
}

func newTimes() *times { return &times{start: time.Now(), ops: make(chan time.Duration, 16)} }

func (w *times) at(i int) time.Duration {
	for len(w.ops) > 0 {
		w.taken = append(w.taken, <-w.ops)
	}
	return w.taken[i]
}

func (*times) Name() string { return "times" }

func (w *times) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &timesChannel{callstack.ChannelBase{Next: next}, w}, nil
}

type timesChannel struct {
	callstack.ChannelBase
	w *times
}

func (c *timesChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}

func (c *timesChannel) StartTransportOp(op *transport.Op) {
	c.w.ops <- time.Since(c.w.start)
	c.Next.StartTransportOp(op)
}

// TestWhen has when connections are told what. A call is when it begins and ends.
func TestWhen(t *testing.T) {
	const s = time.Second
	type span [2]time.Duration
	for _, tc := range []struct {
		name  string
		cfg   Config
		calls []span
		want  []string
	}{
		{"nothing is configured", Config{}, nil, nil},
		{"an age, without calls", Config{MaxConnectionAge: 30 * s}, nil, []string{"30s NO_ERROR max_age"}},
		{"an age, and a call for ever", Config{MaxConnectionAge: 30 * s}, []span{{s, 7200 * s}}, []string{"30s NO_ERROR max_age"}},
		{"a grace", Config{MaxConnectionAge: 30 * s, MaxConnectionAgeGrace: 5 * s}, []span{{s, 7200 * s}},
			[]string{"30s NO_ERROR max_age", "35s disconnect"}},
		{"a grace that is next to nothing", Config{MaxConnectionAge: 30 * s, MaxConnectionAgeGrace: 1}, []span{{s, 7200 * s}},
			[]string{"30s NO_ERROR max_age", "30.000000001s disconnect"}},
		{"an idle time, without calls", Config{MaxConnectionIdle: 8 * s}, nil, []string{"8s NO_ERROR max_idle"}},
		{"an idle time, with a call just before it", Config{MaxConnectionIdle: 8 * s}, []span{{8*s - 1, 8*s + 1}},
			[]string{"16.8s NO_ERROR max_idle"}},
		{"an idle time, with two calls at once", Config{MaxConnectionIdle: 8 * s}, []span{{1 * s, 10 * s}, {2 * s, 20*s + 1}},
			[]string{"28.8s NO_ERROR max_idle"}},
		{"idle before the age", Config{MaxConnectionIdle: 8 * s, MaxConnectionAge: 30 * s, MaxConnectionAgeGrace: s}, nil,
			[]string{"8s NO_ERROR max_idle", "30s NO_ERROR max_age", "31s disconnect"}}, // the transport has closed by then
		{"the age before idle", Config{MaxConnectionIdle: 60 * s, MaxConnectionAge: 30 * s, MaxConnectionAgeGrace: s}, nil,
			[]string{"30s NO_ERROR max_age", "31s disconnect", "1m0s NO_ERROR max_idle"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, when := &callstacktest.Transport{}, newTimes()
				stack := callstacktest.Build(t, tr, exact(tc.cfg), when)
				defer stack.Destroy()
				for _, sp := range tc.calls {
					c := callstacktest.NewCall(stack)
					time.AfterFunc(sp[0], func() { c.Begin(callstacktest.Server.Args()) })
					time.AfterFunc(sp[1], c.Unref)
				}
				time.Sleep(time.Hour)
				if got := done(tr, when); !slices.Equal(got, tc.want) {
					t.Errorf("the transport was told %q, want %q", got, tc.want)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestCutSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &callstacktest.Transport{}
		stack := callstacktest.Build(t, tr, exact(Config{MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: 1500 * time.Millisecond}))
		defer stack.Destroy()
		time.Sleep(time.Hour)
		ops := tr.Ops()
		if len(ops) != 2 || ops[1].Disconnect == nil {
			t.Fatalf("the transport was asked for %d things, want a disconnect as the second", len(ops))
		}
		const want = "max_age: the connection was 1m0s old, and the 1.5s that its calls had to end are over (MaxConnectionAge and MaxConnectionAgeGrace)"
		if err := ops[1].Disconnect; status.CodeOf(err) != status.Unavailable || err.Error() != want {
			t.Errorf("it was disconnected with %v %q, want UNAVAILABLE %q", status.CodeOf(err), err, want)
		}
	})
}

// TestDestroy destroys a stack at times that matter: nothing is told afterwards.
func TestDestroy(t *testing.T) {
	cfg := Config{MaxConnectionAge: 10 * time.Second, MaxConnectionAgeGrace: 10 * time.Second, MaxConnectionIdle: 15 * time.Second}
	for at, told := range map[time.Duration]int{
		0: 0, 10*time.Second - 1: 0, 10*time.Second + 1: 1, 15*time.Second + 1: 2, 20*time.Second + 1: 3, time.Hour: 3,
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			stack := callstacktest.Build(t, tr, exact(cfg))
			time.Sleep(at)
			stack.Destroy()
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := len(tr.Ops()); got != told {
				t.Errorf("destroyed after %v, the transport was told %d things, want %d", at, got, told)
			}
		})
	}
}

// A slow filter takes its time over an operation.
type slow struct{ busy atomic.Int32 }

func (*slow) Name() string { return "slow" }

func (f *slow) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &slowChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type slowChannel struct {
	callstack.ChannelBase
	f *slow
}

func (c *slowChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}

func (c *slowChannel) StartTransportOp(op *transport.Op) {
	c.f.busy.Add(1)
	time.Sleep(time.Second)
	c.f.busy.Add(-1)
	c.Next.StartTransportOp(op)
}

// TestDestroyWaits: nothing of the filter runs when Destroy has returned, also
// where it comes while a connection is being told.
func TestDestroyWaits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"at the age":   {MaxConnectionAge: 10 * time.Second, MaxConnectionAgeGrace: time.Minute},
		"at the grace": {MaxConnectionAge: 5 * time.Second, MaxConnectionAgeGrace: 5 * time.Second},
		"when idle":    {MaxConnectionIdle: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, below := &callstacktest.Transport{}, &slow{}
				stack := callstacktest.Build(t, tr, exact(cfg), below)
				time.Sleep(10*time.Second + time.Millisecond)
				if below.busy.Load() != 1 {
					t.Error("the connection is not being told")
				}
				stack.Destroy()
				if below.busy.Load() != 0 {
					t.Error("Destroy returned while the connection was being told")
				}
				told := len(tr.Ops())
				time.Sleep(time.Hour)
				if got := len(tr.Ops()); got != told {
					t.Errorf("the transport was told %d things after Destroy", got-told)
				}
			})
		})
	}
}

// TestDestroyRacesTimers lets timers fire and calls end at the very time at which
// the stack is destroyed.
func TestDestroyRacesTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 300 {
			tr := &callstacktest.Transport{}
			stack := callstacktest.Build(t, tr, exact(Config{MaxConnectionAge: time.Second, MaxConnectionAgeGrace: 1, MaxConnectionIdle: time.Second}))
			c := callstacktest.NewCall(stack)
			if i%2 == 0 {
				c.Begin(callstacktest.Server.Args())
				time.AfterFunc(time.Second, c.Unref)
			}
			time.Sleep(time.Second)
			stack.Destroy()
			told := len(tr.Ops())
			time.Sleep(time.Minute)
			if got := len(tr.Ops()); got != told {
				t.Fatalf("the transport was told %d things after Destroy", got-told)
			}
		}
	})
}

// TestManyConnections gives one filter many connections: the age of each is its
// own, and they do not end together.
func TestManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns = 1000
		f := New(Config{MaxConnectionAge: 100 * time.Second, MaxConnectionAgeGrace: 10 * time.Second})
		when := newTimes()
		when.ops = make(chan time.Duration, 2*conns)
		var stacks []*callstack.ChannelStack
		for range conns {
			stacks = append(stacks, callstacktest.Build(t, &callstacktest.Transport{}, f, when))
		}
		time.Sleep(99 * time.Second)
		synctest.Wait()
		early := len(when.ops)
		time.Sleep(21 * time.Second)
		synctest.Wait()
		seconds := map[time.Duration]int{}
		for range 2 * conns {
			seconds[(<-when.ops).Truncate(time.Second)]++
		}
		// Each of the 20 s in which a connection may be told to go has one in 20
		// of them; the chance of twice as many in any one is below 1e-9.
		for second := 90 * time.Second; second < 100*time.Second; second += time.Second {
			if n := seconds[second]; n == 0 || n > 2*conns/20 {
				t.Errorf("%d of %d connections were told to go in second %v", n, conns, second)
			}
		}
		if early < conns/3 || early > conns*2/3 {
			t.Errorf("%d of %d connections were told to go before 99 s, want about 450", early, conns)
		}
		for _, s := range stacks {
			s.Destroy()
		}
	})
}

func TestBadConfig(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{MaxConnectionAge: -time.Second}, "option MaxConnectionAge is -1s, want more than 0, or 0 for no bound"},
		{Config{MaxConnectionAge: 1, MaxConnectionAgeGrace: -1}, "option MaxConnectionAgeGrace is -1ns, want more than 0, or 0 for no bound"},
		{Config{MaxConnectionAgeGrace: time.Second, MaxConnectionIdle: 1},
			"option MaxConnectionAgeGrace is 1s and MaxConnectionAge is 0, want an age above 0, which the grace begins at"},
		{Config{MaxConnectionIdle: -time.Hour}, "option MaxConnectionIdle is -1h0m0s, want more than 0, or 0 for no bound"},
	} {
		name, _, _ := strings.Cut(tc.want, ",")
		t.Run(name, func(t *testing.T) {
			if _, err := New(tc.cfg).NewChannel(&callstack.ChannelArgs{}, nil); err == nil || err.Error() != tc.want {
				t.Errorf("NewChannel failed with %v, want %q", err, tc.want)
			}
		})
	}
	if Enabled := (Config{MaxConnectionAgeGrace: 1}).Enabled(); Enabled {
		t.Error("a grace alone puts the filter into the stack")
	}
}

// TestTrace: a trace tells when a connection is told to go, and why.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := callstack.NewBuilder("TEST")
		b.Add(exact(Config{MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: time.Second, MaxConnectionIdle: 2 * time.Minute}))
		b.Add(connected.New()).Terminal()
		stack, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}, Trace: rec.Endpoint("server", "client")})
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Destroy()
		time.Sleep(time.Hour)
		var got []string
		for _, e := range rec.Events() {
			if e.Component == component {
				got = append(got, fmt.Sprintf("%s %s %v", e.Op, e.Text, e.Err != nil))
			}
		}
		if want := []string{"age.goaway 1m0s false", "age.cut  true", "idle.goaway 2m0s false"}; !slices.Equal(got, want) {
			t.Errorf("the trace has %q, want %q", got, want)
		}
	})
}
