package clientchannel

import (
	"context"
	"errors"
	"fmt"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

const codeUnavailable = status.Unavailable

// pickError is how a call ends that a balancer refused. Without a status of its
// own that is UNAVAILABLE; the statuses that only a server may give are made
// INTERNAL, because the call never reached one. gRFC A54. who is "LB pick" or
// "LB drop".
func (c *ClientChannel) pickError(who string, err error) error {
	var own *transport.Error
	if errors.As(err, &own) && own.Layer == Name {
		return err // the channel itself, such as by closedError
	}
	e := &transport.Error{
		Code: codeUnavailable, Layer: Name, Reason: "no connection to " + c.target.Raw,
		Progress: transport.ProgressNotSent, Cause: transport.HideContext(err),
	}
	// Not errors.As: a status deep in the chain is that of a lost connection.
	carrier, ok := err.(interface{ GRPCStatus() *status.Status })
	if !ok {
		return e
	}
	e.Code, e.Reason = carrier.GRPCStatus().Code(), who
	switch e.Code {
	case status.OK, status.InvalidArgument, status.NotFound, status.AlreadyExists, status.FailedPrecondition,
		status.Aborted, status.OutOfRange, status.DataLoss:
		e.Reason = fmt.Sprintf("illegal status code %v from %s", e.Code, who)
		e.Code = status.Internal
	}
	return e
}

// closedError is how calls end when the channel is shut down with err.
func closedError(err error) error {
	return &transport.Error{
		Code: transport.DisconnectCode(err), Layer: Name, Reason: "the channel is shut down",
		Progress: transport.ProgressNotSent, Cause: transport.HideContext(err),
	}
}

// deadlineError is how a call ends at its deadline.
func deadlineError(reason string) *transport.Error {
	return &transport.Error{Code: status.DeadlineExceeded, Layer: Name, Reason: reason, Cause: context.DeadlineExceeded}
}

// waitError is how a call ends at its deadline without a connection: the last
// error of one says why there was none. asked is false where nobody has asked for
// one, so that nothing is wrong with the network.
func (c *ClientChannel) waitError(cause error, asked bool) error {
	if !asked && cause.Error() != context.DeadlineExceeded.Error() {
		return cause // who ended the call above has said why
	}
	if !asked {
		e := deadlineError("the deadline passed before the call came to the channel: a filter above kept it, or the application had not sent headers")
		e.Progress, e.Cause = transport.ProgressNotSent, cause
		return e
	}
	e := deadlineError("the deadline passed while the call waited for a connection to " + c.target.Raw)
	e.Progress, e.Cause = transport.ProgressNotSent, cause
	if last := c.LastError(); last != nil {
		e.Cause = fmt.Errorf("%w; last connection error: %w", cause, transport.HideContext(last))
	}
	return e
}

// cancelError is how a call ends that is cancelled before it has a connection, which
// it may have asked for.
func (c *ClientChannel) cancelError(err error, asked bool) error {
	var own *transport.Error
	switch {
	case err == nil:
		return &transport.Error{Code: status.Canceled, Layer: Name, Reason: "the call was cancelled", Cause: context.Canceled}
	case errors.As(err, &own) && own.Layer == Name:
		return err // by the channel's own timer
	case errors.Is(err, context.DeadlineExceeded): // and not a filter's code alone
		return c.waitError(err, asked)
	}
	return err
}

// numbered adds to err, with which a call ends, which of its attempts it was.
// Where there was one it says nothing, and nothing about an end that is not of
// an attempt, such as the application's own cancellation.
func (c *call) numbered(err error) error {
	e, ok := err.(*transport.Error)
	if c.again == 0 || !ok || e.Attempt != 0 {
		return err
	}
	n := transport.Error{Code: e.Code, Layer: Name, Progress: e.Progress, Cause: err}
	if e.Layer == Name {
		n = *e
	}
	n.Attempt = c.again + 1
	return &n
}

// A datedError is an error of a connection and when it happened.
type datedError struct {
	err error
	at  time.Time
}

// aged returns the error with its age in the text.
func (d *datedError) aged() error {
	return fmt.Errorf("%w (%v ago)", d.err, time.Since(d.at).Round(time.Millisecond))
}
