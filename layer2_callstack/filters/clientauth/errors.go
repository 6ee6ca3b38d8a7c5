package clientauth

import (
	"context"
	"errors"
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// fault returns an error of this filter.
func (ch *channel) fault(code status.Code, cause error, format string, args ...any) *transport.Error {
	return &transport.Error{Code: code, Layer: Name, Peer: ch.peer, Reason: fmt.Sprintf(format, args...), Cause: cause}
}

// refused is the end of a call whose credentials may not be used here. It does not
// count as not sent: the call would be picked again and meet the same peer.
func (ch *channel) refused(creds credentials.PerRPCCredentials, err error) error {
	return ch.fault(status.CodeOf(err), nil, "credentials %T: %s", creds, status.Convert(err).Message())
}

// failed is the end of a call whose credentials have returned err.
func (c *call) failed(creds credentials.PerRPCCredentials, err error) error {
	if transport.Passed(c.args.Deadline) {
		// Whatever they say by now, it is the deadline that ends the call.
		if !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
		return c.ch.fault(status.DeadlineExceeded, err, "deadline passed while credentials %T were asked", creds)
	}
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return c.ch.fault(status.Unauthenticated, err, "credentials %T have nothing to send", creds)
	}
	code := carrier.GRPCStatus().Code()
	if reserved(code) {
		return c.ch.fault(status.Internal, err, "credentials %T ended the call with %v, which is for servers to say", creds, code)
	}
	return c.ch.fault(code, err, "credentials %T have nothing to send", creds)
}

// reserved reports whether a code says something of the server's application, so
// that nobody else may end a call with it. gRFC A54.
func reserved(c status.Code) bool {
	switch c {
	case status.OK, status.InvalidArgument, status.NotFound, status.AlreadyExists, status.FailedPrecondition,
		status.Aborted, status.OutOfRange, status.DataLoss:
		return true
	}
	return false
}

// lost is the end of a call whose connection ended while it was held.
func (ch *channel) lost(cause error) error {
	e := ch.fault(transport.DisconnectCode(cause), cause, "the connection ended while credentials were asked")
	e.Progress = transport.ProgressNotSent
	return e
}
