package callstack

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// A countedOwner is an owner that is never recycled.
type countedOwner struct{ refs atomic.Int32 }

func (o *countedOwner) Ref()   { o.refs.Add(1) }
func (o *countedOwner) Unref() { o.refs.Add(-1) }

// A keeper is a filter's element that passes on cancels and keeps the rest.
type keeper struct {
	CallBase
	kept []*transport.StreamOpBatch
}

func (k *keeper) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops == transport.OpCancelStream {
		k.Next.StartBatch(b)
		return
	}
	k.kept = append(k.kept, b)
}

// A sump is the element below, which gets nothing but cancels here.
type sump struct{ CallBase }

func (*sump) StartBatch(*transport.StreamOpBatch) {}

var (
	errTest = errors.New("cancelled by the test")
	quiet   = slog.New(slog.DiscardHandler)
)

type endFunc func(err error)

func (f endFunc) Run(err error) { f(err) }

// newKept returns the guard of a call whose filter is a keeper, in the middle of the
// call and with one reference.
func newKept(t *testing.T) (*guardCall, *keeper, *countedOwner) {
	k, owner := &keeper{}, &countedOwner{}
	owner.Ref()
	c := newGuardCall(&guard{name: "keeper", faults: NewFaultLog(quiet)}, &sump{})
	k.Next, c.user = &c.floor, k
	if err := c.Init(&CallArgs{Owner: owner}); err != nil {
		t.Fatal(err)
	}
	return c, k, owner
}

// receive starts recv_message, whose end goes to err.
func receive(c *guardCall, err *error) {
	b := &transport.StreamOpBatch{Ops: transport.OpRecvMessage}
	b.RecvMessage.Ready = endFunc(func(e error) { *err = e })
	c.StartBatch(b)
}

// TestGraceAgainstItself: what the goroutines of a call do to the timer when one of
// them was stopped where it hurts.
func TestGraceAgainstItself(t *testing.T) {
	cancel := func() *transport.StreamOpBatch {
		return &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errTest}
	}
	wantRefs := func(t *testing.T, o *countedOwner) {
		t.Helper()
		if got := o.refs.Load(); got != 1 {
			t.Errorf("%d references are left, want that of the test", got)
		}
	}
	t.Run("a timer that was stopped too late, for something that came later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, k, owner := newKept(t)
			var first, second error
			receive(c, &first)
			c.StartBatch(cancel())
			time.Sleep(gracePeriod / 2)
			synctest.Wait()
			w := c.load().release(transport.OpRecvMessage) // as it will be when the first has ended
			k.kept[0].RecvMessage.Ready.Run(errTest)
			c.StartBatch(cancel())
			receive(c, &second)
			owner.Ref()
			c.letGo(w, owner) // who ended the first comes only now
			time.Sleep(3 * gracePeriod)
			synctest.Wait()
			if second == nil || !strings.Contains(second.Error(), "kept recv_message after the call was cancelled") {
				t.Errorf("what came later ended with %v", second)
			}
			wantRefs(t, owner)
		})
	})
	t.Run("a time that begins too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, k, owner := newKept(t)
			var err error
			receive(c, &err)
			c.StartBatch(cancel())
			k.kept[0].RecvMessage.Ready.Run(nil)
			c.grace.begin() // by who saw it outstanding
			wantRefs(t, owner)
			time.Sleep(2 * gracePeriod)
			synctest.Wait()
		})
	})
	t.Run("a timer that was stopped too late, when the next is set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, k, owner := newKept(t)
			var err error
			receive(c, &err)
			c.StartBatch(cancel())
			owner.Ref()
			c.grace.expire()
			if c.load().has(broken) {
				t.Error("the filter had no time")
			}
			k.kept[0].RecvMessage.Ready.Run(nil)
			wantRefs(t, owner)
		})
	})
	t.Run("a timer that fires late, when the next is set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, k, owner := newKept(t)
			var err error
			receive(c, &err)
			c.StartBatch(cancel())
			c.ways.Store(uint64(c.load().take(overdue, transport.OpRecvMessage))) // it came after the time began
			c.grace.until = time.Now()
			owner.Ref()
			c.grace.expire()
			time.Sleep(gracePeriod / 2)
			synctest.Wait()
			k.kept[0].RecvMessage.Ready.Run(nil)
			time.Sleep(3 * gracePeriod)
			synctest.Wait()
			wantRefs(t, owner)
		})
	})
}

// TestNewCallInAGuard: what a guard says of a call is nothing of the one before.
func TestNewCallInAGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, k, owner := newKept(t)
		c.server = true
		end := &transport.StreamOpBatch{Ops: transport.OpRecvTrailingMetadata}
		end.RecvTrailingMetadata.MD = &metadata.List{}
		end.RecvTrailingMetadata.Ready = endFunc(func(error) {})
		c.StartBatch(end)
		k.Next.StartBatch(k.kept[0])
		c.stream.Load().Run(nil)
		c.Reset()
		if err := c.Init(&CallArgs{Owner: owner}); err != nil {
			t.Fatal(err)
		}
		var err error
		receive(c, &err)
		c.StartBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errTest})
		time.Sleep(2 * gracePeriod)
		synctest.Wait()
		if err == nil || !strings.HasSuffix(err.Error(), "kept recv_message after the call was cancelled") {
			t.Errorf("the second call ended with %v", err)
		}
	})
}

// TestHoldThatOpensMeanwhile: a batch that found the hold closed is not kept when it
// is open by the time that the lock is taken.
func TestHoldThatOpensMeanwhile(t *testing.T) {
	var h Hold
	if h.keep(&transport.StreamOpBatch{}) {
		t.Error("the batch was kept, and nobody comes to open the hold")
	}
}

// TestRefusedMessage: a message that comes after the filter broke a rule is released,
// as by a transport.
func TestRefusedMessage(t *testing.T) {
	c, _, _ := newKept(t)
	c.fail("is to blame", nil)
	message := transport.WrapBuffer([]byte("x"))
	message.Ref()
	b := &transport.StreamOpBatch{Ops: transport.OpSendMessage, OnComplete: endFunc(func(error) {})}
	b.SendMessage.Buf = message
	c.StartBatch(b)
	if message.Release(); b.SendMessage.Buf != nil {
		t.Error("the batch has its message still")
	}
	defer func() {
		if recover() == nil {
			t.Error("somebody still refers to the message")
		}
	}()
	message.Ref()
}
