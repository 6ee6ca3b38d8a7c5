package faultinjection

import (
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// The delay of a call.
//
//	         ┌──── fire: the time is over, or the channel ends: the call goes on, or ends
//	delayed ─┤
//	         └──── stop: a cancel comes, with which the hold opens
//
// Whoever takes the call out of channel.delayed ends its delay.

// delay begins the delay of the call that b begins, unless a cancel was first. The
// place of the fault passes to it.
func (c *call) delay(b *transport.StreamOpBatch, drawn fault) {
	closed := c.hold.Close()
	if sink := c.ch.sink; closed && sink != nil {
		b.Cause = sink.Emit(&trace.Event{Cause: b.Cause, Layer: 2, Component: component, Op: "fault.delay",
			Call: c.args.CallID, Text: drawn.delay.String()})
	}
	c.fault, c.cause = drawn, b.Cause
	if !closed || !c.arm(drawn.delay) {
		c.ch.filter.leave()
		c.hold.Open(c.Next, c.args)
	}
}

// arm starts the timer. It reports false, and does not, if the call was cancelled
// meanwhile or the channel has ended.
func (c *call) arm(d time.Duration) bool {
	ch := c.ch
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if c.ended || ch.closed {
		return false
	}
	if ch.delayed == nil {
		ch.delayed = map[*call]struct{}{}
	}
	ch.delayed[c] = struct{}{}
	ch.timers.Add(1)
	c.args.Owner.Ref()
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.fire)
	} else {
		c.timer.Reset(d)
	}
	return true
}

// disarmLocked reports whether it was the caller who ended the delay. Caller holds
// ch.mu.
func (c *call) disarmLocked() bool {
	_, was := c.ch.delayed[c]
	delete(c.ch.delayed, c)
	return was
}

// fire runs at the end of the delay. Its reference keeps the call in the use that it
// was armed in.
func (c *call) fire() {
	ch, owner := c.ch, c.args.Owner
	ch.mu.Lock()
	due, closed := c.disarmLocked(), ch.closed
	ch.mu.Unlock()
	if due {
		ch.filter.leave()
		if c.fault.aborts() && !closed { // else it ends as the channel does
			c.abort(c.fault, c.cause)
		}
		c.hold.Open(c.Next, c.args)
	}
	owner.Unref()
	ch.timers.Done()
}

// stop ends the delay of a call that is cancelled, if there is one. What a timer
// that is firing already holds is given back by fire.
func (c *call) stop() {
	ch := c.ch
	ch.mu.Lock()
	c.ended = true
	was := c.disarmLocked()
	stopped := was && c.timer.Stop()
	ch.mu.Unlock()
	if was {
		ch.filter.leave()
	}
	if stopped {
		c.args.Owner.Unref()
		ch.timers.Done()
	}
}

// close lets all delays end now. It does not wait for that.
func (ch *channel) close() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.closed = true
	for c := range ch.delayed {
		if c.timer.Stop() {
			c.timer.Reset(0)
		}
	}
}
