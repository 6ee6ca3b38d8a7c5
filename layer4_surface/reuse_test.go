package surface

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// useReleased calls every method of a handle that was released, and says which
// one has answered as if it were not. No operation of a call may come of it.
func useReleased(h Call) error {
	body := message("x")
	defer body.Release() // stays ours
	var st clientState
	ops := []Op{opSendHeaders(), {Type: SendMessage, Message: body}, opClose(), st.opStatus()}
	ran := false
	closure := functorFunc(func(bool) { ran = true })
	for name, e := range map[string]CallError{
		"StartBatch":                            h.StartBatch(ops, "late"),
		"StartBatch without operations":         h.StartBatch(nil, "late"),
		"StartBatchAndExecute":                  h.StartBatchAndExecute(ops, closure),
		"StartBatchAndExecute of no operations": h.StartBatchAndExecute(nil, closure),
		"Cancel":                                h.Cancel(),
		"CancelWithStatus":                      h.CancelWithStatus(status.DataLoss, "late"),
	} {
		if e != CallErrorReleased {
			return fmt.Errorf("%s = %v", name, e)
		}
	}
	if ev := h.Pluck("late", nil); ev.Type != cq.QueueShutdown {
		return fmt.Errorf("Pluck = %v", ev.Type)
	}
	if h.Valid() || h.Peer() != nil || h.Method() != "" || !h.Deadline().IsZero() || h.ID() != 0 || h.String() != "Call(released)" {
		return errors.New("Valid, Peer, Method, Deadline, ID or String says something")
	}
	h.Release()
	if ran {
		return errors.New("a closure ran")
	}
	return nil
}

// TestReleasedHandleAndTheNextCall: a handle that was released does nothing to
// the next call in the same block, on a client and on a server, whatever is
// done with it and at whatever stage that call is.
func TestReleasedHandleAndTheNextCall(t *testing.T) {
	f := newFixture(t)
	var oldClient, oldServer Call
	reused := 0
	for i := 0; reused < 20 && i < 10000; i++ {
		req := f.request("request")
		c := f.call(CallParams{Deadline: time.Now().Add(time.Hour)})
		same := oldClient.c == c.c
		late := func(old Call) {
			t.Helper()
			if old.c == nil {
				return
			}
			if err := useReleased(old); err != nil {
				t.Fatal(err)
			}
		}
		var st clientState
		late(oldClient)
		f.start(c, "client", opSendHeaders(), opSend("hello"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus())
		late(oldClient)
		f.expect(f.scq, "request", true)
		same = same && oldServer.c == req.Call.c
		late(oldServer)
		var cancelled bool
		f.start(req.Call, "close", opCancelled(&cancelled))
		late(oldServer)
		f.start(req.Call, "answer", opSendHeaders(), opSend("world"), opStatus(status.OK, "fine"))
		f.expectAll(f.scq, map[cq.Tag]bool{"close": true, "answer": true})
		late(oldServer)
		f.expect(f.cq, "client", true)
		late(oldClient)
		st.wantStatus(t, status.OK, "fine")
		if got := text(st.message); got != "world" || cancelled || !c.Valid() || !req.Call.Valid() {
			t.Fatalf("received %q, cancelled = %t", got, cancelled)
		}
		if same {
			reused++
		}
		oldClient, oldServer = c, req.Call
		c.Release()
		req.Call.Release()
	}
	if reused == 0 {
		t.Error("no block was used again on both sides: nothing was tested")
	}
}

// TestLateHandlesRace has goroutines use the handles of calls that are over
// while the same blocks serve other calls, every one of which has to succeed.
func TestLateHandlesRace(t *testing.T) {
	e := newEchoServer(t)
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	if err := e.server.ServeTransport(serverEnd); err != nil {
		t.Fatal(err)
	}
	ch, err := NewDirectChannel(clientEnd)
	if err != nil {
		t.Fatal(err)
	}
	var old atomic.Pointer[Call]
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				if h := old.Load(); h != nil {
					if err := useReleased(*h); err != nil {
						t.Error(err)
						return
					}
				}
				runtime.Gosched()
			}
		})
	}
	var set blockSet
	for i := range 500 {
		c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
		if err != nil {
			t.Fatal(err)
		}
		set.add(c)
		var st clientState
		body := fmt.Sprint("body ", i)
		ops := []Op{opSendHeaders(), opSend(body), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}
		if fault := c.StartBatch(ops, &st); fault != CallOK {
			t.Fatal(fault)
		}
		if ev := c.Pluck(&st, nil); !ev.Success || st.status.Code != status.OK {
			t.Fatalf("call %d: %v, status %v %q", i, ev.Type, st.status.Code, st.status.Message)
		}
		if got := text(st.message); got != body {
			t.Fatalf("call %d received %q", i, got)
		}
		c.Release()
		old.Store(&c)
	}
	stop.Store(true)
	wg.Wait()
	ch.Close()
	e.server.Close()
	set.wantReleased(t, "client")
	if len(set.blocks) > 250 {
		t.Errorf("500 calls used %d blocks: none was used again", len(set.blocks))
	}
}

// TestPluckAndReleaseRace: one goroutine waits in the queue of a call's own
// while others release and cancel it. The one that waits gets its event, and
// the block comes back.
func TestPluckAndReleaseRace(t *testing.T) {
	f := newFixture(t)
	var set blockSet
	for i := range 300 {
		c, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
		if err != nil {
			t.Fatal(err)
		}
		set.add(c)
		var st clientState
		if e := c.StartBatch([]Op{opSendHeaders(), st.opStatus()}, "batch"); e != CallOK {
			t.Fatal(e)
		}
		var wg sync.WaitGroup
		waiting := make(chan struct{})
		wg.Go(func() {
			close(waiting)
			// Either it came in time, or the handle was gone already.
			if ev := c.Pluck("batch", nil); ev.Type != cq.QueueShutdown && !ev.Success {
				t.Errorf("event = %v success=%t", ev.Type, ev.Success)
			} else if ev.Success {
				st.wantStatus(t, status.Canceled, "")
			} else {
				c.c.ownQueue.Pluck("batch", testDeadline()) // what nobody else can
			}
		})
		<-waiting
		if i%2 == 0 {
			wg.Go(func() { c.Cancel() })
		}
		wg.Go(c.Release)
		wg.Wait()
	}
	set.wantReleased(t, "client")
}

// TestAbandonedEvent: who releases a call of its own queue without the event of
// a batch leaves the block to the garbage collector: it is the batch's until
// the event is dequeued, and nobody can do that any more. It is not used again.
func TestAbandonedEvent(t *testing.T) {
	counter := &countingFilter{}
	s, q := newFixtureServer(t)
	f := connectFixture(t, s, q, WithFilter(stacks.Extra{Filter: counter, After: []string{"authority"}, Before: []string{"message_size"}}))
	seen := map[*call]bool{}
	for range 20 {
		c, err := f.channel.CreateCall(CallParams{Method: "/a/b"})
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.c] {
			t.Fatal("a block whose event was never dequeued is used again")
		}
		seen[c.c] = true
		if e := c.StartBatch([]Op{opSendHeaders(), {Type: RecvStatusOnClient}}, "batch"); e != CallOK {
			t.Fatal(e)
		}
		c.Release()
	}
	if begun, ended := counter.counts(); begun != 20 || ended != 0 {
		t.Errorf("%d calls were begun, %d came back to their pool", begun, ended)
	}
}

// TestQueuedForAConnection: calls that wait for a connection end by cancel,
// deadline, release, and the end of the channel, and their blocks come back.
func TestQueuedForAConnection(t *testing.T) {
	for _, how := range []string{"cancel", "deadline", "release", "close", "connected"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lis := memconn.Listen()
				e := newEchoServer(t, WithLogger(quietLogger()))
				served := make(chan error, 1)
				go func() { served <- e.server.Serve(lis) }()
				connect := make(chan struct{})
				ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
					select {
					case <-connect:
						return lis.Dial(ctx)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				})
				var set blockSet
				for range 3 { // the blocks are used again
					var calls [4]Call
					var states [4]clientState
					var ended sync.WaitGroup
					ended.Add(len(calls))
					for i := range calls {
						p := CallParams{Method: "/echo/Echo"}
						if how == "deadline" {
							p.Deadline = time.Now().Add(time.Second)
						}
						var err error
						if calls[i], err = ch.CreateCall(p); err != nil {
							t.Fatal(err)
						}
						set.add(calls[i])
						st := &states[i]
						// In two batches, the end first: both wait.
						end := functorFunc(func(ok bool) { ended.Done() })
						calls[i].StartBatchAndExecute([]Op{st.opStatus(), st.opHeaders(), st.opMessage()}, end)
						calls[i].StartBatchAndExecute([]Op{opSendHeaders(), opSend(fmt.Sprint("body ", i)), opClose()}, functorFunc(func(bool) {}))
					}
					synctest.Wait()
					want := status.Canceled
					switch how {
					case "cancel":
						for _, c := range calls {
							c.Cancel()
						}
					case "deadline":
						want = status.DeadlineExceeded
					case "release":
						for _, c := range calls {
							c.Release()
						}
					case "close":
						ch.Close()
					case "connected":
						want = status.OK
						select {
						case <-connect:
						default:
							close(connect)
						}
					}
					ended.Wait()
					for i := range states {
						states[i].wantStatus(t, want, "")
						if got := text(states[i].message); want == status.OK && got != fmt.Sprint("body ", i) {
							t.Errorf("received %q", got)
						}
						calls[i].Release()
					}
					if how == "close" {
						break
					}
				}
				ch.Close()
				e.server.Close()
				<-served
				synctest.Wait()
				set.wantReleasedNow(t, how)
			})
		})
	}
}
