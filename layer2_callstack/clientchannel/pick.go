package clientchannel

import (
	"fmt"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// pick asks the present picker where the call goes and does what it says. The
// caller has set busy; pick reports whether to go on.
func (c *call) pick() bool {
	ch, first := c.ch, c.held.initial()
	box := ch.queue.picker.Load()
	r := ch.safePick(box, balancer.PickInfo{Path: c.args.Path, Metadata: first.SendInitialMetadata.MD})
	if ch.cfg.Trace != nil {
		c.tracePick(first, box, &r)
	}
	switch r.Kind {
	case balancer.PickComplete:
		sub, ok := r.Subchannel.(*subchannel.Subchannel)
		if !ok {
			c.fail(ch.pickError("LB pick", status.Errorf(status.Internal,
				"balancer %s picked a subchannel that the channel has not made", ch.cfg.Balancer.Name())))
			return true
		}
		if conn := sub.Conn(); conn == nil || conn == c.repick.refused {
			return c.enqueue(box) // lost; the balancer is about to learn of it
		}
		a := sub.NewAttempt()
		if a == nil { // lost meanwhile
			return c.enqueue(box)
		}
		args := &a.Stack.Args
		*args = *c.args
		args.Owner, args.DeadlineWatched = a, true
		c.adopt(a, a.Stack.Init())
		return true
	case balancer.PickFail:
		if first.SendInitialMetadata.Flags&transport.FlagWaitForReady == 0 {
			c.fail(ch.pickError("LB pick", r.Err))
			return true
		}
	case balancer.PickDrop:
		c.fail(ch.pickError("LB drop", r.Err))
		return true
	}
	return c.enqueue(box)
}

// safePick calls the picker and contains its panic.
func (c *ClientChannel) safePick(box *pickerBox, info balancer.PickInfo) (r balancer.PickResult) {
	defer func() {
		if p := recover(); p != nil {
			r = balancer.Drop(status.Errorf(status.Internal, "the picker of balancer %s panicked: %v", c.cfg.Balancer.Name(), p))
		}
	}()
	return box.picker.Pick(info)
}

var pickNames = [...]string{"queue", "complete", "fail", "drop"}

// tracePick emits the result of a pick. A call that waited goes on because of
// the new picker, another one because of its batch.
func (c *call) tracePick(first *transport.StreamOpBatch, box *pickerBox, r *balancer.PickResult) {
	cause := first.Cause
	c.mu.Lock()
	if c.queued {
		cause = box.event
	}
	c.mu.Unlock()
	text := "invalid"
	if int(r.Kind) < len(pickNames) {
		text = pickNames[r.Kind]
	}
	if sub, ok := r.Subchannel.(*subchannel.Subchannel); ok {
		if conn := sub.Conn(); conn != nil {
			text = fmt.Sprintf("%s %v", text, conn.Address())
		}
	}
	first.Cause = c.ch.cfg.Trace.Emit(&trace.Event{
		Cause: cause, Layer: 2, Component: Name, Op: "lb.pick", Call: c.args.CallID, Text: text, Err: r.Err,
	})
}

// A wakePicker wakes an idle channel at the first pick.
type wakePicker struct {
	wake func()
	once sync.Once
}

func (p *wakePicker) Pick(balancer.PickInfo) balancer.PickResult {
	p.once.Do(p.wake)
	return balancer.Queue()
}
