package maxage

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// TestJitter checks the bounds of a connection's age, and that ages are spread
// evenly between them.
func TestJitter(t *testing.T) {
	for _, tc := range []struct {
		name string
		age  time.Duration
		r    float64
		want time.Duration
	}{
		{"the least", time.Hour, 0, 54 * time.Minute},
		{"in the middle", time.Hour, 0.5, time.Hour},
		{"a quarter", time.Hour, 0.25, 57 * time.Minute},
		{"the most", 1000, 1 - 1e-9, 1099},
		{"a nanosecond", 1, 0.25, 0},
		{"for ever", math.MaxInt64, 0.9, math.MaxInt64},
		{"nearly for ever", math.MaxInt64, 0, math.MaxInt64 / 10 * 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := jittered(tc.age, tc.r)
			if diff := float64(got) - float64(tc.want); diff < -1024 || diff > 1024 || tc.age < time.Second && diff != 0 {
				t.Errorf("jittered(%v, %v) = %v, want %v", tc.age, tc.r, got, tc.want)
			}
		})
	}

	random := rand.New(rand.NewPCG(1, 2))
	const n, tenths = 100_000, 10
	var counts [tenths]int
	for range n {
		age := jittered(time.Hour, random.Float64())
		if age < 54*time.Minute || age >= 66*time.Minute {
			t.Fatalf("an age of %v, want between 54 and 66 min", age)
		}
		counts[(age-54*time.Minute)*tenths/(12*time.Minute)]++
	}
	for i, got := range counts {
		if want := n / tenths; got < want*95/100 || got > want*105/100 {
			t.Errorf("%d ages in tenth %d, want about %d: %v", got, i, want, counts)
		}
	}
}

// TestTimerBehindDestroy: a timer that fired a moment before Destroy does nothing more,
// and begins no grace.
func TestTimerBehindDestroy(t *testing.T) {
	ch := &channel{cfg: Config{MaxConnectionAge: time.Hour, MaxConnectionAgeGrace: time.Hour}}
	ch.Next = &untouched{t: t}
	ch.start(func() float64 { return 0 })
	ch.Destroy()
	ch.timers.Add(1) // as if it had not been stopped
	ch.fire()
	if ch.timer.Stop() {
		t.Error("the grace has begun")
	}
	ch.timers.Wait()
}

// An untouched element is given nothing.
type untouched struct {
	callstack.ChannelElem
	t *testing.T
}

func (u *untouched) StartTransportOp(op *transport.Op) { u.t.Errorf("passed on %+v", op) }
