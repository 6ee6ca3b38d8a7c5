package surface

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A lot is an application that answers when it is told to.
type lot struct {
	mu    sync.Mutex
	calls []Call // that it has not answered
	most  int    // of them at once
}

func (l *lot) take(req *RequestedCall) {
	req.Payload.Release()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, req.Call)
	l.most = max(l.most, len(l.calls))
}

// answer answers and releases the calls so far, and returns how many they were.
func (l *lot) answer() int {
	l.mu.Lock()
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, c := range calls {
		c.StartBatchAndExecute([]Op{opSendHeaders(), opSend(""), opStatus(status.OK, "")}, functorFunc(func(bool) {}))
		c.Release()
	}
	return len(calls)
}

const (
	tooMany  = "the server has as many calls at once as it may have: 3 (option MaxConcurrent)"
	tooOften = "more calls come than the server takes: 2 a second (option Rate)"
)

// TestLimit: a server has as many calls at once as its limit says, on two
// connections and in all ways in which it gets calls together. The others are
// refused with no message asked for, and there is a place again when a call is over.
func TestLimit(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		counter, reads, app := new(countingFilter), new(readCounter), new(lot)
		g := newGate(t, app.take, WithLimit(limit.Config{MaxConcurrent: 3}),
			WithFilter(stacks.Extra{Filter: counter}), WithFilter(stacks.Extra{Filter: reads, Before: []string{"message_size"}}))
		chs := []*Channel{connectBy(t, g.s, over), connectBy(t, g.s, over)}
		for round := range 3 {
			var in []*knock
			for i, method := range gateMethods {
				in = append(in, g.knock(chs[i%2], method, CallParams{}))
				synctest.Wait()
			}
			read := reads.reads.Load()
			for i, method := range gateMethods {
				if st, _ := g.knock(chs[i%2], method, CallParams{}).end(); st.Code != status.ResourceExhausted || st.Message != tooMany {
					t.Errorf("round %d: one call too many to %s: %v, want RESOURCE_EXHAUSTED with %q", round, method, st, tooMany)
				}
			}
			if heard := int(g.calls.Load()); heard != 3*(round+1) || reads.reads.Load() != read {
				t.Errorf("round %d: the application heard of %d calls, and %d more messages were asked for", round, heard, reads.reads.Load()-read)
			}
			app.answer()
			for _, k := range in {
				if st, _ := k.end(); st.Code != status.OK {
					t.Errorf("round %d: a call within the limit: %v", round, st)
				}
			}
			synctest.Wait()
		}
		chs[1].Close()
		g.close(chs[0])
		recycles(t, counter)
	})
}

// TestLimitRate: calls come at the rate of the limit, and what is refused costs
// nobody a token.
func TestLimitRate(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		g := newGate(t, answerGate, WithLimit(limit.Config{Rate: 2}))
		ch := connectBy(t, g.s, over)
		var got []string
		for range 20 { // five in a second
			st, _ := g.knock(ch, gateMethods[0], CallParams{}).end()
			switch {
			case st.Code == status.OK:
				got = append(got, "+")
			case st.Code == status.ResourceExhausted && st.Message == tooOften:
				got = append(got, "-")
			default:
				t.Errorf("status %v, want OK or RESOURCE_EXHAUSTED with %q", st, tooOften)
			}
			time.Sleep(200 * time.Millisecond)
		}
		// Two at first, and one each time that half a second is over.
		if text := fmt.Sprint(got); text != "[+ + - + - + - - + - + - - + - + - - + -]" {
			t.Errorf("calls were let in as %s", text)
		}
		g.close(ch)
	})
}

// TestLimitCountsHandlers: a client that makes calls and resets them does not have
// more handlers running than the limit, although every stream of its is free.
func TestLimitCountsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 3000
		counter, app := new(countingFilter), new(lot)
		g := newGate(t, app.take, WithLimit(limit.Config{MaxConcurrent: 3}), WithFilter(stacks.Extra{Filter: counter}),
			WithHTTP2(http2.Config{MaxStreams: 100, RapidResets: 10 * calls, FaultBurst: 10 * calls}))
		lis := memconn.Listen()
		go g.s.Serve(lis)
		ran := make(chan error)
		go func() {
			nc, err := lis.Dial(t.Context())
			if err == nil {
				_, err = resetsOfTaken.Run(t.Context(), nc, framescript.Options{})
			}
			ran <- err
		}()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if app.most != 3 {
			t.Errorf("%d handlers ran at once, want 3", app.most)
		}
		if begun, ended := counter.counts(); begun-ended != 3 || begun != calls {
			t.Errorf("%d of %d blocks are in use, want 3 of %d", begun-ended, begun, calls)
		}
		if n := app.answer(); n != 3 {
			t.Errorf("%d handlers have returned, want 3", n)
		}
		time.Sleep(time.Second) // the client's, who then makes one more call
		synctest.Wait()
		if n := app.answer(); n != 1 {
			t.Errorf("%d handlers run after there was room again, want 1", n)
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
		g.s.Close()
		g.q.Shutdown()
		recycles(t, counter)
	})
}

// resetsOfTaken is a client that makes calls and resets them, and later one more. The
// ones that there is a place for it resets when the application has them: it would
// not get to see them otherwise.
var resetsOfTaken = framescript.MustParse("resetsoftaken.txt", `client
send PREFACE
send SETTINGS
answer SETTINGS PING
repeat 3 id=1+2
  send HEADERS stream=$id request=/any/Method
  wait 1ms
  send RST_STREAM stream=$id code=CANCEL
end
repeat 2997 id=7+2
  send HEADERS stream=$id request=/any/Method
  send RST_STREAM stream=$id code=CANCEL
end
wait 1s
send HEADERS stream=6001 request=/any/Method
wait 1ms
send RST_STREAM stream=6001 code=CANCEL
wait 1s
`)

// TestLimitBeforeServerAuth: the hook is asked about calls within the limit only,
// those that it is being asked about count, and a refusal gives the place back.
func TestLimitBeforeServerAuth(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		rec := trace.NewRecorder(trace.LevelEvents)
		asked, answer := 0, make(chan error)
		hook := func(context.Context, *serverauth.Request) error {
			asked++
			return <-answer
		}
		g := newGate(t, answerGate, WithLimit(limit.Config{MaxConcurrent: 3}), WithServerAuth(serverauth.Config{Process: hook}),
			WithTrace(rec.Endpoint("server", "client")))
		ch := connectBy(t, g.s, over)
		for round := 1; round <= 2; round++ {
			var waiting []*knock
			for range 3 {
				waiting = append(waiting, g.knock(ch, gateMethods[0], CallParams{}))
				synctest.Wait()
			}
			if st, _ := g.knock(ch, gateMethods[0], CallParams{}).end(); st.Message != tooMany || asked != 3*round {
				t.Errorf("one call too many: %v, and the hook was asked about %d", st, asked)
			}
			for range waiting {
				answer <- status.Error(status.PermissionDenied, "no")
			}
			for _, k := range waiting {
				if st, _ := k.end(); st.Code != status.PermissionDenied {
					t.Errorf("a call that the hook refuses: %v", st)
				}
			}
			synctest.Wait()
		}
		g.close(ch)
		n := 0
		for _, e := range rec.Events() {
			if e.Component == "filter:limit" && e.Op == "limit.refuse" {
				n++
			}
		}
		if n != 2 {
			t.Errorf("%d times limit.refuse, want 2", n)
		}
	})
}

// TestLimitOfEachServer: an option that two servers are given is a limit of each.
func TestLimitOfEachServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		option := WithLimit(limit.Config{MaxConcurrent: 1})
		var gates []*gate
		var chs []*Channel
		var calls []*knock
		app := new(lot)
		for range 2 {
			g := newGate(t, app.take, option)
			ch := connectBy(t, g.s, "inproc")
			gates, chs, calls = append(gates, g), append(chs, ch), append(calls, g.knock(ch, gateMethods[0], CallParams{}))
		}
		synctest.Wait()
		if n := app.answer(); n != 2 {
			t.Errorf("two servers with a limit of one have %d calls, want 2", n)
		}
		for i, g := range gates {
			calls[i].end()
			g.close(chs[i])
		}
	})
}

// TestBadLimit: a server whose limit cannot be is not made.
func TestBadLimit(t *testing.T) {
	defer func() {
		const want = `surface: NewServer: callstack: SERVER: filter "limit": option MaxConcurrent is -1, want 0 for no limit, or more`
		if got := recover(); got != want {
			t.Errorf("NewServer panicked with\n%v, want\n%v", got, want)
		}
	}()
	NewServer(WithLimit(limit.Config{MaxConcurrent: -1}))
}
