package early

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestSet compares a set with a map that does the same in the plainest way.
func TestSet(t *testing.T) {
	start := time.Unix(1000, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	var s Set
	want := map[uint32]time.Time{}
	id := uint32(1)
	for step := range 10_000 {
		now := start.Add(time.Duration(step) * time.Millisecond)
		switch rng.IntN(3) {
		case 0:
			s.Add(Stream{ID: id, Due: now.Add(20 * time.Millisecond)})
			want[id] = now.Add(20 * time.Millisecond)
			id += 2
		case 1:
			some := 1 + 2*rng.Uint32N(id/2+1)
			_, ok := want[some]
			if v := s.Reset(some); (v == Ended) != ok {
				t.Fatalf("step %d: verdict %d on stream %d, which is there: %v", step, v, some, ok)
			}
			delete(want, some)
		case 2:
			for id, ok := s.Due(now); ok; id, ok = s.Due(now) {
				if at, ok := want[id]; !ok || at.After(now) {
					t.Fatalf("step %d: stream %d is due, but it is not", step, id)
				}
				delete(want, id)
			}
			for id, at := range want {
				if !at.After(now) {
					t.Fatalf("step %d: stream %d is due and does not come", step, id)
				}
			}
		}
		checkSet(t, step, &s, want)
	}
}

func checkSet(t *testing.T, step int, s *Set, want map[uint32]time.Time) {
	t.Helper()
	if s.Len() != len(want) {
		t.Fatalf("step %d: %d streams, want %d", step, s.Len(), len(want))
	}
	var next time.Time
	for _, at := range want {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if got := s.Next(); !got.Equal(next) {
		t.Fatalf("step %d: the first is due at %v, want %v", step, got, next)
	}
}

func TestVerdicts(t *testing.T) {
	data := func(flow, body int, end bool) func(*Set) Verdict {
		return func(s *Set) Verdict { return s.Data(1, flow, body, end) }
	}
	headers := func(bad, end bool) func(*Set) Verdict {
		return func(s *Set) Verdict { return s.Headers(1, bad, end) }
	}
	update := func(n uint32) func(*Set) Verdict {
		return func(s *Set) Verdict { return s.WindowUpdate(1, n) }
	}
	for _, tc := range []struct {
		name   string
		stream Stream
		frame  func(*Set) Verdict
		want   Verdict
	}{
		{"DATA within everything", Stream{Recv: 10, Length: 10}, data(10, 8, false), Waits},
		{"DATA to the last byte of both", Stream{Recv: 10, Length: 8}, data(10, 8, true), Ended},
		{"DATA past the window", Stream{Recv: 9, Length: 20}, data(10, 8, false), Overflow},
		{"DATA longer than announced", Stream{Recv: 10, Length: 7}, data(10, 8, false), Malformed},
		{"DATA shorter than announced", Stream{Recv: 10, Length: 9}, data(10, 8, true), Malformed},
		{"DATA of any length", Stream{Recv: 10, Length: -1}, data(10, 8, true), Ended},
		{"trailers", Stream{Length: -1}, headers(false, true), Ended},
		{"trailers after all that was announced", Stream{}, headers(false, true), Ended},
		{"trailers before all that was announced", Stream{Length: 1}, headers(false, true), Malformed},
		{"headers that do not end the stream", Stream{Length: -1}, headers(false, false), Malformed},
		{"malformed trailers", Stream{Length: -1}, headers(true, true), Malformed},
		{"WINDOW_UPDATE to the largest window", Stream{Send: 1}, update(maxWindow - 1), Waits},
		{"WINDOW_UPDATE past it", Stream{Send: 1}, update(maxWindow), Overflow},
		{"RST_STREAM", Stream{}, func(s *Set) Verdict { return s.Reset(1) }, Ended},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s Set
			if got := tc.frame(&s); got != Unknown {
				t.Errorf("verdict %d on a stream that is not there", got)
			}
			tc.stream.ID = 1
			s.Add(tc.stream)
			if got := tc.frame(&s); got != tc.want {
				t.Errorf("verdict %d, want %d", got, tc.want)
			}
			if kept := s.Len() == 1; kept != (tc.want == Waits) {
				t.Errorf("kept: %v", kept)
			}
		})
	}
}
