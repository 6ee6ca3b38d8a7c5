package bdp

import (
	"testing"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

var (
	begin = time.Unix(1000, 0)
	start = Windows{Stream: mib, Conn: 4 * mib}
	most  = Windows{Stream: 4 * mib, Conn: 16 * mib}
)

// A probe makes e send a PING at now and answers it after trip, in which came
// bytes arrive.
func probe(t *testing.T, e *Estimator, now time.Time, came int, trip time.Duration) (grew bool) {
	t.Helper()
	if !ask(e, now) {
		t.Fatalf("no PING after %d bytes", leastBulk)
	}
	for ; came > 0; came -= 16 * kib {
		if e.Received(min(came, 16*kib), now) {
			t.Fatal("a second PING while one is under way")
		}
	}
	return e.Answered(now.Add(trip))
}

// ask lets just enough come for a PING.
func ask(e *Estimator, now time.Time) bool {
	for range leastBulk/(16*kib) - 1 {
		if e.Received(16*kib, now) {
			return false // too early
		}
	}
	return e.Received(16*kib, now)
}

// TestWindowLimitedSenderGetsWiderWindows: a sender that fills the window in
// each round trip is twice as fast when the window has doubled, up to the limits.
func TestWindowLimitedSenderGetsWiderWindows(t *testing.T) {
	e := New(start, most)
	const trip = 50 * time.Millisecond
	now := begin
	for _, want := range []Windows{{2 * mib, 4 * mib}, {4 * mib, 4 * mib}, {4 * mib, 8 * mib}, {4 * mib, 16 * mib}} {
		came := e.Windows().Stream
		if came == most.Stream { // then several streams share the connection
			came = e.Windows().Conn
		}
		if !probe(t, &e, now, int(came), trip) || e.Windows() != want {
			t.Fatalf("after %d bytes in a round trip the windows are %v, want %v", came, e.Windows(), want)
		}
		now = now.Add(trip)
	}
	if ask(&e, now.Add(time.Hour)) {
		t.Error("a PING although the windows can grow no more")
	}
}

// TestGrowthRules: what one measurement makes of the windows.
func TestGrowthRules(t *testing.T) {
	for _, tc := range []struct {
		name string
		came int
		want Windows
	}{
		{"nothing came", 0, start},
		{"less than two thirds of the window", mib*2/3 - 1, start},
		{"two thirds of the window", mib*2/3 + 1, Windows{Stream: (mib*2/3 + 1) * 2, Conn: 4 * mib}},
		{"a whole window", mib, Windows{Stream: 2 * mib, Conn: 4 * mib}},
		{"two thirds of the connection's window", 4*mib*2/3 + 1, Windows{Stream: 4 * mib, Conn: (4*mib*2/3 + 1) * 2}},
		{"more than the limits", 64 * mib, most},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := New(start, most)
			grew := probe(t, &e, begin, tc.came, time.Millisecond)
			if e.Windows() != tc.want || grew != (tc.want != start) {
				t.Errorf("the windows are %v (grew: %v), want %v", e.Windows(), grew, tc.want)
			}
		})
	}
}

// TestNoGrowthWithoutSpeed: once the network is the limit, a fuller window only
// means longer queues.
func TestNoGrowthWithoutSpeed(t *testing.T) {
	e := New(start, most)
	if !probe(t, &e, begin, mib, 50*time.Millisecond) {
		t.Fatal("the first full window did not count")
	}
	if probe(t, &e, begin.Add(time.Second), 2*mib, 100*time.Millisecond) {
		t.Errorf("at the same speed the windows grew to %v", e.Windows())
	}
	if !probe(t, &e, begin.Add(2*time.Second), 2*mib, 99*time.Millisecond) {
		t.Error("at a higher speed they did not grow")
	}
}

// TestPingsBecomeRare: while nothing grows, the pause doubles up to its limit;
// when something does, there is none.
func TestPingsBecomeRare(t *testing.T) {
	e := New(start, most)
	now := begin
	for _, pause := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000} {
		pause *= time.Millisecond
		if !e.Received(leastBulk, now) {
			t.Fatalf("no PING although the pause is over, before that of %v", pause)
		}
		now = now.Add(time.Millisecond)
		if e.Answered(now) {
			t.Fatal("the windows grew of nothing")
		}
		now = now.Add(pause)
		if e.Received(leastBulk, now.Add(-1)) {
			t.Fatalf("a PING within the pause of %v", pause)
		}
	}
	if !e.Received(16*kib, now) {
		t.Error("no PING after the last pause")
	}
	e.Answered(now)
	now = now.Add(time.Hour)
	if !probe(t, &e, now, mib, time.Millisecond) || !ask(&e, now.Add(time.Millisecond)) {
		t.Error("after growth there is a pause")
	}
}

// TestSmallFramesCauseNoPing: small messages are not bulk, but count once a
// PING is under way.
func TestSmallFramesCauseNoPing(t *testing.T) {
	e := New(start, most)
	for range 100000 {
		if e.Received(leastFrame-1, begin) {
			t.Fatal("a PING because of small frames")
		}
	}
	if !ask(&e, begin) {
		t.Fatal("no PING because of large ones")
	}
	for range 2 * mib / 100 {
		e.Received(100, begin)
	}
	if !e.Answered(begin.Add(time.Second)) {
		t.Error("small frames did not count for the measurement")
	}
}

// TestZeroValueIsOff: without limits there is nothing to find out.
func TestZeroValueIsOff(t *testing.T) {
	var e Estimator
	if ask(&e, begin) || e.Answered(begin) || e.Windows() != (Windows{}) {
		t.Error("the zero value does something")
	}
	static := New(start, start)
	if ask(&static, begin) {
		t.Error("windows that may not grow cause a PING")
	}
}

// FuzzEstimator: whatever comes and however slow answers are, windows only
// grow, stay within the limits, and there is one PING at a time.
func FuzzEstimator(f *testing.F) {
	f.Add([]byte{255, 255, 255, 255, 0, 255, 255, 255, 255, 255, 255, 0})
	f.Add([]byte{200, 1, 200, 1, 0, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		e, now, asking := New(start, most), begin, false
		for _, b := range steps {
			before := e.Windows()
			now = now.Add(time.Duration(b) * time.Millisecond)
			if b == 0 {
				grew := e.Answered(now)
				if w := e.Windows(); grew != (w != before) || grew && !asking {
					t.Fatalf("Answered = %v, the windows went from %v to %v", grew, before, w)
				}
				asking = false
			} else if e.Received(int(b)<<12, now) {
				if asking {
					t.Fatal("two PINGs at a time")
				}
				asking = true
			}
			if w := e.Windows(); w.Stream < before.Stream || w.Conn < before.Conn || w.Stream > most.Stream || w.Conn > most.Conn {
				t.Fatalf("the windows went from %v to %v", before, w)
			}
		}
	})
}
