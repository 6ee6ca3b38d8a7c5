package handshakes

import (
	"sync"
	"testing"
)

// closes counts how often it is closed.
type closes struct{ n int }

func (c *closes) Close() error { c.n++; return nil }

func TestTheOldestIsGivenUp(t *testing.T) {
	l := &Limit{Max: 3}
	conns := make([]closes, 6)
	all := make([]*Handshake, len(conns))
	begin := func(i int) { all[i] = l.Begin(&conns[i]) }
	begin(0)
	begin(1)
	begin(2)
	l.End(all[1]) // makes room for one
	begin(3)
	begin(4) // for which 0 goes
	begin(5) // for which 2 goes
	l.End(all[0])
	l.End(all[0])
	for i, want := range []int{1, 0, 1, 0, 0, 0} {
		if conns[i].n != want || all[i].GivenUp() != (want == 1) {
			t.Errorf("connection %d was closed %d times, want %d", i, conns[i].n, want)
		}
	}
	if n := l.running.Len(); n != 3 {
		t.Errorf("%d are running, want 3", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	l := &Limit{Max: 10}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 100 {
				l.End(l.Begin(new(closes)))
			}
		})
	}
	wg.Wait()
	if n := l.running.Len(); n != 0 {
		t.Errorf("%d are running", n)
	}
}
