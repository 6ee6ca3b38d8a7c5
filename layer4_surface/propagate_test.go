package surface

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A household is a parent, the call of a server, in a fixture that children are
// made in too.
type household struct {
	*fixture
	client Call // the other end of the parent
	state  clientState
	parent Call
}

// newHousehold begins a call with that deadline, zero for none.
func newHousehold(t *testing.T, deadline time.Time) *household {
	h := &household{fixture: newFixture(t)}
	req := h.request("parent")
	h.client = h.call(CallParams{Deadline: deadline})
	h.start(h.client, "client", opSendHeaders(), h.state.opStatus())
	h.expect(h.scq, "parent", true)
	h.parent = req.Call
	return h
}

// release gives the calls of the parent up.
func (h *household) release() {
	h.parent.Release()
	h.client.Release()
}

// child makes a call on the parent's behalf whose end posts its tag.
func (h *household) child(tag cq.Tag, p CallParams) (Call, *clientState) {
	h.t.Helper()
	p.Parent = h.parent
	c, st := h.call(p), new(clientState)
	h.start(c, tag, opSendHeaders(), st.opStatus())
	return c, st
}

// TestEveryMask: what each mask takes from the parent. The parent's client
// cancels after a second; the parent's deadline comes after two.
func TestEveryMask(t *testing.T) {
	for mask := Propagation(0); mask < 16; mask++ {
		t.Run(fmt.Sprintf("%#x", uint32(mask)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				h := newHousehold(t, start.Add(2*time.Second))
				c, st := h.child("child", CallParams{Propagate: mask, Deadline: start.Add(time.Hour)})
				want, code, text := time.Hour, status.DeadlineExceeded, "deadline"
				if mask&PropagateDeadline != 0 {
					want = 2 * time.Second
				}
				if got := c.Deadline().Sub(start); got != want {
					t.Errorf("the child's deadline is in %v, want %v", got, want)
				}
				if mask&PropagateCancellation != 0 {
					want, code, text = time.Second, status.Canceled, "the call on whose behalf this one was made has ended"
				}
				if stats, tracing := mask&PropagateCensusStats != 0, mask&PropagateCensusTracing != 0; stats != tracing {
					want, code, text = 0, status.Unknown, "one of the two census contexts"
				}
				go func() { time.Sleep(time.Second); h.client.Cancel() }()
				var ended time.Duration
				for range 2 {
					if ev := h.cq.Next(time.Time{}); ev.Tag == "child" {
						ended = time.Since(start)
					}
				}
				if ended != want || st.status.Code != code || !strings.HasPrefix(st.status.Message, text) {
					t.Errorf("the child ended after %v with %v, want %v, %v %q", ended, st.status, want, code, text)
				}
				c.Release()
				h.release()
			})
		})
	}
}

// TestShorterDeadline: of the child's deadline and the parent's the sooner
// counts, and a parent without one takes nothing away.
func TestShorterDeadline(t *testing.T) {
	for _, row := range []struct {
		name                string
		parent, child, want time.Duration // 0 for none
	}{
		{"the child's is sooner", 2, 1, 1},
		{"the parent's is sooner", 1, 2, 1},
		{"only the parent has one", 1, 0, 1},
		{"only the child has one", 0, 1, 1},
		{"neither has one", 0, 0, 0},
		{"the parent's has passed", -1, 2, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				at := func(d time.Duration) time.Time {
					if d == 0 {
						return time.Time{}
					}
					return start.Add(d * time.Minute)
				}
				h := newHousehold(t, at(max(row.parent, 0)))
				h.parent.c.deadline = at(row.parent) // as its client said, a moment ago
				c := h.call(CallParams{Parent: h.parent, Propagate: PropagateDeadline, Deadline: at(row.child)})
				if got := c.Deadline(); !got.Equal(at(row.want)) {
					t.Errorf("deadline %v, want %v", got, at(row.want))
				}
				c.Release()
				h.client.Cancel()
				h.expect(h.cq, "client", true)
				h.release()
			})
		})
	}
}

// TestParentEnds: however the parent ends its children are cancelled, whether
// or not recv_close_on_server was asked for, and those that are made afterwards
// at once. gRPC core wants that operation for it.
func TestParentEnds(t *testing.T) {
	for name, end := range map[string]func(h *household){
		"its client cancels":        func(h *household) { h.client.Cancel() },
		"it sends its status":       func(h *household) { h.start(h.parent, "status", opStatus(status.OK, "")) },
		"it cancels itself":         func(h *household) { h.parent.CancelWithStatus(status.Aborted, "x") },
		"its handle is given up":    func(h *household) { h.parent.Release() },
		"the connection is closed":  func(h *household) { h.clientEnd.Close() },
		"it ends, and is forgotten": func(h *household) { h.client.Cancel(); h.release() },
	} {
		for _, asked := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, recv_close_on_server: %t", name, asked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHousehold(t, time.Time{})
					var cancelled bool
					if asked {
						h.start(h.parent, "close", opCancelled(&cancelled))
					}
					other := newFixture(t) // whose connection stays
					before, st := other.call(CallParams{Parent: h.parent, Propagate: PropagateCancellation}), new(clientState)
					other.start(before, "before", opSendHeaders(), st.opStatus())
					synctest.Wait()
					other.quiet(other.cq)
					end(h)
					other.expect(other.cq, "before", true)
					st.wantStatus(t, status.Canceled, "the call on whose behalf this one was made has ended")
					after := other.call(CallParams{Parent: h.parent, Propagate: PropagateCancellation})
					other.start(after, "after", opSendHeaders(), st.opStatus())
					other.expect(other.cq, "after", true)
					st.wantStatus(t, status.Canceled, "the call on whose behalf this one is made has ended")
					free := other.call(CallParams{Parent: h.parent, Propagate: PropagateDeadline})
					other.start(free, "free", opSendHeaders())
					other.expect(other.cq, "free", true)
					for _, c := range []Call{before, after, free} {
						c.Release()
					}
					h.release()
				})
			})
		}
	}
}

// TestManyChildren: 100 of them, of which some are released and some end before
// the parent does; nobody but the others is cancelled.
func TestManyChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHousehold(t, time.Time{})
		left := map[cq.Tag]bool{"client": true}
		var calls []Call
		for i := range 100 {
			c, _ := h.child(i, CallParams{Propagate: PropagateDefaults})
			calls = append(calls, c)
			left[i] = true
			switch i % 4 {
			case 1:
				c.Release() // ends it, too
			case 2:
				c.CancelWithStatus(status.Aborted, "by itself")
			}
		}
		h.client.Cancel()
		h.expectAll(h.cq, left)
		for _, c := range calls {
			c.Release()
		}
		if n := len(h.parent.c.children.children); n != 0 {
			t.Errorf("%d children are remembered after their release", n)
		}
		h.release()
	})
}

// TestGrandchildren: the end of a call goes down from server to server.
func TestGrandchildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const generations = 4
		root := newHousehold(t, time.Now().Add(time.Minute))
		parent, start := root.parent, time.Now()
		var calls []Call
		var states []*clientState
		var fixtures []*fixture
		for range generations {
			f, st := newFixture(t), new(clientState)
			req := f.request("request")
			c := f.call(CallParams{Parent: parent, Propagate: PropagateDefaults})
			f.start(c, "end", opSendHeaders(), st.opStatus())
			f.expect(f.scq, "request", true)
			parent = req.Call
			calls, states, fixtures = append(calls, c, parent), append(states, st), append(fixtures, f)
			if got := parent.Deadline().Sub(start); got != time.Minute {
				t.Errorf("the deadline of a server's call is in %v, want 1m", got)
			}
		}
		root.client.Cancel()
		for i, f := range fixtures {
			f.expect(f.cq, "end", true)
			states[i].wantStatus(t, status.Canceled, "the call on whose behalf this one was made has ended")
		}
		for _, c := range calls {
			c.Release()
		}
		root.release()
	})
}

// TestParentOnAClient: the parent of a call is one on a server.
func TestParentOnAClient(t *testing.T) {
	h := newHousehold(t, time.Time{})
	defer h.release()
	_, err := h.channel.CreateCall(CallParams{Method: "/a/b", Parent: h.client, Propagate: PropagateDefaults})
	if err == nil || !strings.Contains(err.Error(), `the parent of a call to "/a/b" is a call on a client`) {
		t.Errorf("CreateCall = %v", err)
	}
}
