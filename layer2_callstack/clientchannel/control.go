package clientchannel

import (
	"errors"
	"fmt"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// control is the control plane of a channel. All of it is owned by the
// serializer, as are the methods of ClientChannel in this file.
//
// Invariant: resolver, sink and host are all nil in state IDLE before the first
// connection, and in SHUTDOWN.
type control struct {
	env      subchannel.Env
	sink     *sink // of the present resolver
	resolver resolver.Resolver
	host     *host // of the present balancer, nil without one

	// builds counts failures in a row to build a resolver.
	builds int
	retry  *time.Timer // for the next one

	watchers []watcher
	closeErr error // not nil in SHUTDOWN
}

// idlePicker returns the picker of a channel without a balancer: the first
// call wakes it.
func (c *ClientChannel) idlePicker() *pickerBox {
	return &pickerBox{picker: &wakePicker{wake: func() { c.serial.schedule(c.exitIdle) }}}
}

// exitIdle starts resolver and balancer, or has the balancer connect.
func (c *ClientChannel) exitIdle() {
	ctl := &c.control
	switch {
	case ctl.closeErr != nil:
	case ctl.host != nil:
		c.contain("balancer "+c.cfg.Balancer.Name(), ctl.host.balancer.ExitIdle)
	default:
		c.startControl()
	}
}

// startControl makes a balancer and a resolver that feeds it.
func (c *ClientChannel) startControl() {
	ctl := &c.control
	c.stopRetry()
	h := &host{c: c, subs: map[*subchannel.Subchannel]struct{}{}}
	ctl.host = h
	ctl.sink = &sink{c: c}
	if c.State(false) != connectivity.TransientFailure { // which is sticky
		c.setState(connectivity.Connecting, nil, balancer.Fixed(balancer.Queue()))
	}
	if !c.buildBalancer(h) || !c.buildResolver() {
		c.stopControl()
		c.retryLater()
		return
	}
	ctl.builds = 0
}

func (c *ClientChannel) buildBalancer(h *host) (ok bool) {
	name := c.cfg.Balancer.Name()
	ok = c.contain("balancer "+name, func() { h.balancer = c.cfg.Balancer.Build(h) })
	if ok && h.balancer == nil {
		c.fail(fmt.Errorf("balancer %s is nil: Build returned none", name))
		return false
	}
	return ok
}

func (c *ClientChannel) buildResolver() (ok bool) {
	ctl := &c.control
	var err error
	ok = c.contain("resolver "+c.target.Scheme, func() {
		ctl.resolver, err = c.builder.Build(c.target, ctl.sink, resolver.Options{Logger: c.cfg.Logger})
		if ctl.resolver == nil && err == nil {
			err = errors.New("its Build returned neither a resolver nor an error")
		}
	})
	if err != nil {
		c.fail(fmt.Errorf("the resolver for %q could not be built: %w", c.target.Raw, err))
		return false
	}
	return ok
}

// retryLater builds resolver and balancer once more after a backoff.
func (c *ClientChannel) retryLater() {
	ctl := &c.control
	delay := c.cfg.Backoff.Delay(ctl.builds)
	ctl.builds++
	ctl.retry = time.AfterFunc(delay, func() { c.serial.schedule(c.exitIdleAfterFailure) })
}

func (c *ClientChannel) exitIdleAfterFailure() {
	if c.control.closeErr == nil && c.control.host == nil {
		c.startControl()
	}
}

func (c *ClientChannel) stopRetry() {
	if c.control.retry != nil {
		c.control.retry.Stop()
		c.control.retry = nil
	}
}

// stopControl ends resolver and balancer. Connections drain.
func (c *ClientChannel) stopControl() {
	ctl := &c.control
	ctl.sink = nil
	if r := ctl.resolver; r != nil {
		ctl.resolver = nil
		c.wg.Add(1)
		go c.closeResolver(r)
	}
	if h := ctl.host; h != nil {
		ctl.host = nil
		if h.balancer != nil {
			c.contain("balancer "+c.cfg.Balancer.Name(), h.balancer.Close)
		}
		h.closeSubchannels()
	}
}

// closeResolver is a goroutine, since Close waits for those of the resolver.
func (c *ClientChannel) closeResolver(r resolver.Resolver) {
	defer c.wg.Done()
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Logger.Warn("a resolver panicked in Close", "target", c.target.Raw, "panic", p)
		}
	}()
	r.Close()
}

func (c *ClientChannel) enterIdle() {
	if c.control.closeErr != nil {
		return
	}
	c.stopRetry()
	c.stopControl()
	c.setStateBox(connectivity.Idle, nil, c.idlePicker())
}

func (c *ClientChannel) resetBackoff() {
	ctl := &c.control
	if ctl.retry != nil {
		ctl.builds = 0
		c.startControl()
		return
	}
	if ctl.resolver != nil {
		c.contain("resolver "+c.target.Scheme, ctl.resolver.ResetBackoff)
	}
	if ctl.host != nil {
		c.contain("balancer "+c.cfg.Balancer.Name(), ctl.host.balancer.ResetBackoff)
	}
}

// shutdown ends the channel for good. Queued calls and calls under way fail.
func (c *ClientChannel) shutdown(err error) {
	ctl := &c.control
	if ctl.closeErr != nil {
		return
	}
	ctl.closeErr = err
	c.stopRetry()
	c.stopControl()
	closed := closedError(err)
	c.setStateBox(connectivity.Shutdown, err, &pickerBox{picker: balancer.Fixed(balancer.Drop(closed)), closed: closed})
	ctl.env.Disconnect(err)
	ctl.watchers = nil
	c.serial.close()
	close(c.done)
}

// shutdownError returns why the channel was shut down. c.done is closed, or
// will be as soon as the serializer has finished its last function.
func (c *ClientChannel) shutdownError() error {
	<-c.done
	return c.control.closeErr
}

// fail puts the channel in TRANSIENT_FAILURE; calls that do not wait fail.
func (c *ClientChannel) fail(err error) {
	c.onConnectionError(err)
	c.setState(connectivity.TransientFailure, err, balancer.Fixed(balancer.Fail(err)))
}

func (c *ClientChannel) setState(s connectivity.State, cause error, p balancer.Picker) {
	c.setStateBox(s, cause, &pickerBox{picker: p})
}

// setStateBox publishes state and picker, picks the queued calls again, and
// tells the watchers if the state is another.
func (c *ClientChannel) setStateBox(s connectivity.State, cause error, box *pickerBox) {
	old := connectivity.State(c.state.Swap(uint32(s)))
	if s == connectivity.Ready {
		c.lastErr.Store(nil)
	}
	if old != s {
		c.traceControl("connectivity", old.String()+" to "+s.String(), cause)
		c.cfg.Logger.Debug("the channel changed its state", "target", c.target.Raw, "from", old.String(), "to", s.String())
	}
	box.event = c.control.env.Cause
	c.queue.publish(box)
	if old != s {
		c.tellAll(s, cause)
	}
}

// onConnectionError remembers err for the calls that run out of time.
func (c *ClientChannel) onConnectionError(err error) {
	c.lastErr.Store(&datedError{err: err, at: time.Now()})
}

// contain runs f, which is code of a resolver or balancer. A panic puts the
// channel in TRANSIENT_FAILURE, with who did it.
func (c *ClientChannel) contain(who string, f func()) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("%s panicked: %v", who, p)
			c.cfg.Logger.Warn("the channel contained a panic", "target", c.target.Raw, "error", err)
			if c.control.closeErr == nil {
				c.fail(err)
			}
		}
	}()
	f()
	return true
}

// traceControl emits an event of the control plane. Each is caused by the one
// before.
func (c *ClientChannel) traceControl(op, text string, err error) {
	if c.cfg.Trace != nil {
		env := &c.control.env
		env.Cause = c.cfg.Trace.Emit(&trace.Event{
			Cause: env.Cause, Layer: 2, Component: Name, Op: op, Text: text, Err: err,
		})
	}
}
