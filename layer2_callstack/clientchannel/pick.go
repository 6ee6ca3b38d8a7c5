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

// pickLocked asks the present picker where the call goes and does what it says.
// It reports whether to go on. Caller holds c.mu and has set busy.
func (c *call) pickLocked() bool {
	first, box := c.held.initial(), c.ch.queue.picker.Load()
	c.mu.Unlock()
	a, err := c.pick(first, box)
	c.mu.Lock()
	if c.err == nil { // else it was cancelled during the pick
		c.err, c.errFrom = err, first.Cause
	}
	switch {
	case c.err != nil:
		if a != nil {
			c.dropLocked(a, &transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: c.err, Cause: c.errFrom})
		}
		return true
	case a == nil:
		c.asked = true
		return !c.ch.queue.add(c, box)
	}
	if c.queued {
		c.ch.queue.remove(c)
	}
	c.attempt, c.asked = a, false
	return true
}

// pick returns an attempt on the connection that box chooses for the call, or why
// the call fails, or neither if it is to wait for another picker. An attempt whose
// Init fails comes with that error, and nothing is sent.
func (c *call) pick(first *transport.StreamOpBatch, box *pickerBox) (*subchannel.Attempt, error) {
	ch, r := c.ch, box.fixed
	if r == nil {
		asked := ch.safePick(box, balancer.PickInfo{Path: c.args.Path, Metadata: first.SendInitialMetadata.MD})
		r = &asked
	}
	if ch.cfg.Trace != nil {
		c.tracePick(first, box, r)
	}
	switch r.Kind {
	case balancer.PickComplete:
		sub, ok := r.Subchannel.(*subchannel.Subchannel)
		if !ok {
			return nil, ch.pickError("LB pick", status.Errorf(status.Internal,
				"balancer %s picked a subchannel that the channel has not made", ch.cfg.Balancer.Name()))
		}
		if conn := sub.Conn(); conn == nil || conn == c.repick.refused {
			return nil, nil // lost; the balancer is about to learn of it
		}
		a := sub.NewAttempt()
		if a == nil {
			return nil, nil // lost meanwhile
		}
		args := &a.Stack.Args
		*args = *c.args
		args.Owner, args.DeadlineWatched = a, true
		return a, a.Stack.Init()
	case balancer.PickFail:
		if first.SendInitialMetadata.Flags&transport.FlagWaitForReady == 0 {
			return nil, ch.pickError("LB pick", r.Err)
		}
	case balancer.PickDrop:
		return nil, ch.pickError("LB drop", r.Err)
	}
	return nil, nil
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
	if c.asked {
		cause = box.event
	}
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
