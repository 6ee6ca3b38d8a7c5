package roster

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// A block has the size of what a roster is for.
type block struct {
	n int
	_ [1000]byte
}

func numbers(r *Roster[block]) []int {
	var got []int
	for b := range r.All() {
		got = append(got, b.n)
	}
	slices.Sort(got)
	return got
}

// TestAll: what is referred to is there, once; what is not is gone after a collection.
func TestAll(t *testing.T) {
	var r Roster[block]
	if got := numbers(&r); got != nil {
		t.Errorf("an empty roster has %v", got)
	}
	kept := make([]*block, 10)
	for i := range kept {
		kept[i] = &block{n: i}
		r.Add(kept[i])
	}
	if got := numbers(&r); !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("the roster has %v", got)
	}
	for i := range kept[3:] {
		kept[3+i] = nil
	}
	runtime.GC()
	if got := numbers(&r); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("after a collection the roster has %v, want 0 to 2", got)
	}
	for range r.All() {
		break // and it ends
	}
	runtime.KeepAlive(kept)
}

// TestAddDuringAll: All holds no lock, and yields what was there when it began.
func TestAddDuringAll(t *testing.T) {
	var r Roster[block]
	a, b := &block{n: 1}, &block{n: 2}
	r.Add(a)
	seen := 0
	for range r.All() {
		r.Add(b)
		seen++
	}
	if seen != 1 || r.Len() != 2 {
		t.Errorf("All yielded %d of %d", seen, r.Len())
	}
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
}

// TestLength: whatever the order in which members come and go, none that is alive is
// lost, and the list is at most about twice as long as what was alive.
func TestLength(t *testing.T) {
	for _, alive := range []int{1, 10, 1000} {
		t.Run(fmt.Sprint(alive), func(t *testing.T) {
			var r Roster[block]
			window := make([]*block, alive)
			longest := 0
			for i := range 20 * alive {
				at := i * 7919 % alive // not the oldest first
				window[at] = &block{n: i}
				r.Add(window[at])
				if i%max(alive/2, 1) == 0 {
					runtime.GC()
				}
				longest = max(longest, r.Len())
			}
			if most := 3*alive + 2*gonePerAdd; longest > most {
				t.Errorf("with %d alive the list had %d entries, want at most %d", alive, longest, most)
			}
			runtime.GC()
			var want []int
			for _, b := range window {
				if b != nil {
					want = append(want, b.n)
				}
			}
			slices.Sort(want)
			if got := numbers(&r); !slices.Equal(got, want) {
				t.Errorf("the roster has %d members, want the %d that are alive", len(got), len(want))
			}
			runtime.KeepAlive(window)
		})
	}
}

// TestShrink: after a burst the list gets short again, and gives its memory back.
func TestShrink(t *testing.T) {
	var r Roster[block]
	burst := make([]*block, 10_000)
	for i := range burst {
		burst[i] = new(block)
		r.Add(burst[i])
	}
	runtime.KeepAlive(burst)
	burst = nil
	runtime.GC()
	for range 10 { // a quiet time
		for range 50 {
			r.Add(new(block))
		}
		runtime.GC()
	}
	if n, c := r.Len(), cap(r.entries); n > 200 || c > 1000 {
		t.Errorf("the list has %d entries and room for %d", n, c)
	}
}

// TestRace: members come, go and are looked at, all at once.
func TestRace(t *testing.T) {
	var r Roster[block]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			kept := make([]*block, 50)
			for i := range 500 {
				kept[i%50] = &block{n: g}
				r.Add(kept[i%50])
			}
			found := 0
			for b := range r.All() {
				if b.n == g && slices.Contains(kept, b) {
					found++
				}
			}
			if found != len(kept) {
				t.Errorf("%d of %d members were found", found, len(kept))
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			runtime.GC()
		}
	})
	wg.Wait()
}

// BenchmarkAdd is what a block costs more when it is made.
func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			var r Roster[block]
			kept := make([]*block, n)
			for i := range kept {
				kept[i] = new(block)
				r.Add(kept[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Add(new(block))
			}
			runtime.KeepAlive(kept)
		})
	}
}

// BenchmarkNew is the block alone, to be taken off BenchmarkAdd.
func BenchmarkNew(b *testing.B) {
	var last *block
	b.ReportAllocs()
	for b.Loop() {
		last = new(block)
	}
	runtime.KeepAlive(last)
}

// BenchmarkAll looks at each member once.
func BenchmarkAll(b *testing.B) {
	const n = 1_000_000
	var r Roster[block]
	kept := make([]*block, n)
	for i := range kept {
		kept[i] = new(block)
		r.Add(kept[i])
	}
	for b.Loop() {
		for m := range r.All() {
			m.n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/member")
	runtime.KeepAlive(kept)
}
