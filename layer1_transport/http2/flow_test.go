package http2

import (
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// check states what holds at any time. RFC 9113 §6.9.
func (e *flowEnd) check() {
	f := &e.s.flow
	if f.recv.avail < 0 || f.held < 0 || f.unread < 0 || f.send.avail < 0 {
		e.p.t.Fatalf("%s: windows of the connection broken: %+v", e.s.roleName(), *f)
	}
	if got := f.recv.avail + f.recv.owed + int64(f.held); got != f.recv.size {
		e.p.t.Fatalf("%s: the connection's window is %d, of which %d are accounted for: %+v", e.s.roleName(), f.recv.size, got, *f)
	}
	unread := 0
	for _, st := range e.s.streams {
		w := &st.recv.window
		unread += st.recv.in.unread()
		if got := w.avail + w.owed + int64(st.recv.in.unread()); st.state.mayRecv() && got != w.size {
			e.p.t.Fatalf("%s: the window of stream %d is %d, of which %d are accounted for", e.s.roleName(), st.id, w.size, got)
		}
	}
	if unread > f.unread {
		e.p.t.Fatalf("%s: %d bytes are unread, %d are counted", e.s.roleName(), unread, f.unread)
	}
}

// checkSettled states what holds when nothing is on the way: both ends think
// the same of every window.
func (p *flowPair) checkSettled() {
	p.settle()
	for _, e := range p.ends {
		e.check()
		other := p.ends[1-e.s.role]
		if got, want := e.s.flow.send.avail, other.s.flow.recv.avail; got != want {
			p.t.Fatalf("the %s may send %d bytes on the connection, its peer expects %d", e.s.roleName(), got, want)
		}
		for id, st := range e.s.streams {
			if to := other.s.streams[id]; to != nil && to.state.mayRecv() && st.send.window.avail != to.recv.window.avail {
				p.t.Fatalf("the %s may send %d bytes on stream %d, its peer expects %d", e.s.roleName(), st.send.window.avail, id, to.recv.window.avail)
			}
		}
	}
}

// run makes that many calls, of which most are open at once, and lets them end.
func (p *flowPair) run(calls, most int) {
	for steps := 0; calls > 0 || len(p.open[client])+len(p.open[server]) > 0; steps++ {
		if steps%5000 == 0 {
			p.checkSettled()
		}
		switch p.r.IntN(8) {
		case 0:
			if calls > 0 && len(p.open[client]) < most {
				calls--
				p.newCall(p.ends[client], nil)
			}
		case 1, 2, 3:
			p.turnOf(client)
		case 4, 5:
			p.turnOf(server)
		default:
			e := p.ends[p.r.IntN(2)]
			p.carry(e)
			for range 1 + p.r.IntN(12) {
				p.ends[1-e.s.role].deliver()
			}
		}
		if steps%64 == 0 {
			p.ends[steps/64%2].check()
		}
	}
	p.checkSettled()
}

// checkConserved states what holds when no call is left: the windows are where
// they were, and the credit that was given is the data that came.
func (p *flowPair) checkConserved() {
	for _, e := range p.ends {
		f := &e.s.flow
		if f.held != 0 || f.unread != 0 || len(e.s.streams) != 0 || e.s.slots.used != e.s.slots.early.Len() {
			p.t.Errorf("%s: %d bytes held, %d unread, %d streams, %d slots are left", e.s.roleName(), f.held, f.unread, len(e.s.streams), e.s.slots.used)
		}
		if f.recv.avail+f.recv.owed != f.recv.size || f.recv.owed >= f.recv.size/4 {
			p.t.Errorf("%s: the window of the connection is %d, of which %d are owed and the peer has %d", e.s.roleName(), f.recv.size, f.recv.owed, f.recv.avail)
		}
		grown := f.recv.size - frame.DefaultWindow // by the greeting and later
		if e.credit+f.recv.owed != e.data+grown {
			p.t.Errorf("%s: credit of %d bytes was given and %d are owed, for %d bytes of DATA and padding and a window wider by %d",
				e.s.roleName(), e.credit, f.recv.owed, e.data, grown)
		}
	}
}

// TestCreditIsConserved makes random calls, among them ones with messages
// larger than the windows, cancelled ones from both sides, unread ones, and
// with padding. No octet of credit is lost or made.
func TestCreditIsConserved(t *testing.T) {
	calls := 100_000
	if testing.Short() {
		calls = 3_000
	}
	for _, tc := range []struct {
		name  string
		cfg   Config
		limit int // of unread bytes, where it is not the usual one
		parts int // this part of the calls
		open  int // how many are open at once
	}{
		{"the smallest windows", Config{StreamWindow: 65535, ConnWindow: 65535}, 0, 2, 100},
		{"the usual windows", Config{}, 0, 4, 100},
		{"windows that grow", Config{StreamWindow: 65535, ConnWindow: 65535, MaxStreamWindow: 1 << 20, MaxConnWindow: 4 << 20}, 0, 8, 100},
		{"little may be unread", Config{StreamWindow: 65535, ConnWindow: 131072}, 140_000, 8, 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newFlowPair(t, 1, tc.cfg, tc.limit)
			p.run(calls/tc.parts, tc.open)
			p.checkConserved()
			t.Logf("%d calls: %+v, %d and %d bytes of DATA, windows %d and %d", calls/tc.parts, p.stats, p.ends[0].data, p.ends[1].data,
				p.ends[0].s.flow.recv.size, p.ends[1].s.flow.recv.size)
			if p.stats.padded == 0 || p.stats.cancelled == 0 || tc.limit > 0 && min(p.stats.narrowed[client], p.stats.narrowed[server]) == 0 {
				t.Errorf("something did not come up: %+v", p.stats)
			}
		})
	}
}
