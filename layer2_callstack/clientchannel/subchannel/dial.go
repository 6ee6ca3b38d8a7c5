package subchannel

import (
	"context"
	"errors"
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A dialing is one attempt to connect, over all addresses in order.
type dialing struct {
	// Set by startDial, read-only afterwards.
	s      *Subchannel
	ctx    context.Context // the attempt
	cancel context.CancelFunc
	addrs  []resolver.Address

	// Owned by run, then by the serializer.
	event trace.EventID // the last that was emitted
}

// run is the goroutine of the attempt.
func (d *dialing) run() {
	trace.Role(d.s.env.Trace, "subchannel dialer")
	t, addr, err := d.tryAll()
	d.cancel()
	if !d.s.env.Schedule(func() { d.s.dialed(d, t, addr, err) }) && t != nil {
		t.Close() // the channel has ended meanwhile
	}
}

// minAddressTimeout is what one address gets at least, so that a long list
// does not leave each of them too little for a handshake.
const minAddressTimeout = 2 * time.Second

// tryAll tries each address once. An address that does not answer must not
// use up the time of those behind it, so each gets an equal share of what is
// left.
func (d *dialing) tryAll() (transport.Transport, resolver.Address, error) {
	err := error(&Error{Err: errors.New("there is no address")})
	for i, addr := range d.addrs {
		if i > 0 && d.ctx.Err() != nil {
			break // keep the error of the last address
		}
		deadline, _ := d.ctx.Deadline()
		share := time.Until(deadline) / time.Duration(len(d.addrs)-i)
		t, e := d.try(addr, max(share, minAddressTimeout))
		d.trace(addr, e)
		if e == nil {
			return t, addr, nil
		}
		err = &Error{Addr: addr, Err: e}
		d.s.env.Logger.Debug("an address did not answer", "target", d.s.env.Target, "address", addr.String(), "error", e)
	}
	return nil, resolver.Address{}, err
}

func (d *dialing) try(addr resolver.Address, timeout time.Duration) (transport.Transport, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(d.ctx, timeout)
	defer cancel()
	t, err := d.s.env.connect(ctx, addr)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("the attempt timed out after %v: %w", time.Since(start).Round(time.Millisecond), err)
	}
	return t, err
}

func (d *dialing) trace(addr resolver.Address, err error) {
	if sink := d.s.env.Trace; sink != nil {
		d.event = sink.Emit(&trace.Event{
			Cause: d.event, Layer: 2, Component: "client_channel", Op: "subchannel.connect", Text: addr.String(), Err: err,
		})
	}
}

// An Error is why there is no connection to an address.
type Error struct {
	Addr resolver.Address
	Err  error
	// Established says that the connection was lost, not refused.
	Established bool
}

// Error names the address and what happened.
func (e *Error) Error() string {
	switch {
	case e.Addr == (resolver.Address{}):
		return e.Err.Error()
	case e.Established:
		return fmt.Sprintf("connection to %v lost: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("connecting to %v: %v", e.Addr, e.Err)
}

// Unwrap returns what the connector or the transport said.
func (e *Error) Unwrap() error { return e.Err }
