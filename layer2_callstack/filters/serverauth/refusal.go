package serverauth

import (
	"context"
	"errors"
	"log/slog"
	"unicode/utf8"

	"github.com/strata-grpc/strata/internal/userpanic"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// What the client reads where the hook has written nothing for it.
const (
	unauthenticated = "the server did not accept who calls"
	failed          = "the server failed to find out who calls"
)

// maxMessage bounds the status message that a hook may send, in bytes: with it
// the trailers stay below what clients take of headers, 8 KiB.
const maxMessage = 1024

// A refusal is the error of a call that the hook refuses. Its text has the code
// alone: what the hook has written is for the client, and not for traces.
type refusal struct {
	st    *status.Status // for the client
	facts transport.Error
}

func (r *refusal) Error() string              { return r.facts.Error() }
func (r *refusal) GRPCStatus() *status.Status { return r.st }
func (r *refusal) Unwrap() error              { return &r.facts }

// statusOf returns the status that err has for the client, nil for none, and whether
// somebody has written it. What it was wrapped in was written for whoever reads errors
// here, and so was an error of this library: that a server which the hook has asked
// cannot be reached, say. The client is told the code of that.
func statusOf(err error) (st *status.Status, written bool) {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) || carrier.GRPCStatus().Code() == status.OK { // contradicts itself
		return nil, false
	}
	st = carrier.GRPCStatus()
	if own := (*transport.Error)(nil); errors.As(err, &own) {
		return status.New(st.Code(), failed), false
	}
	return st, true
}

// refuse returns the refusal of a hook that returned err.
func refuse(err error) error {
	st, _ := statusOf(err)
	switch {
	case st == nil:
		st = status.New(status.Unauthenticated, unauthenticated)
	case len(st.Message()) > maxMessage:
		p := st.Proto()
		p.Message = cut(p.Message)
		st = status.FromProto(p)
	}
	return &refusal{st, transport.Error{Code: st.Code(), Layer: Name, Reason: "the call was refused with " + st.Code().String()}}
}

// cut returns the beginning of s.
func cut(s string) string {
	n := maxMessage - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// errInterrupted is what a hook has returned that does not return.
var errInterrupted = status.Error(status.Internal, failed)

// ended is how a call fails that is over before the hook has decided about it.
func ended(why error) error {
	e := &transport.Error{Code: status.Canceled, Layer: Name, Reason: "the call ended before the server had decided about it", Cause: why}
	if errors.Is(why, context.DeadlineExceeded) {
		e.Code, e.Reason = status.DeadlineExceeded, "deadline passed before the server had decided about the call"
	}
	return e
}

// interrupted logs what a hook did in place of returning: it panicked with v or,
// if v is nil, ended its goroutine.
func (c *call) interrupted(v any) error {
	if v == nil {
		c.ch.panics.Warn("server_auth: the hook ended its goroutine", "method", c.request.Path)
	} else {
		c.ch.panics.Warn("server_auth: the hook panicked", "method", c.request.Path, "panic", userpanic.Text(v))
	}
	return errInterrupted
}

// logRefusal logs that a call was refused, and why if the client is not told.
func (c *call) logRefusal(err error) {
	l := c.ch.logger
	if !l.Enabled(context.Background(), slog.LevelDebug) {
		return // clients can cause it, so it is to cost little
	}
	if st, written := statusOf(err); written {
		l.Debug("server_auth: refused a call", "method", c.request.Path, "peer", c.ch.peer.String(), "code", st.Code().String())
	} else {
		l.Debug("server_auth: refused a call", "method", c.request.Path, "peer", c.ch.peer.String(), "error", err)
	}
}
