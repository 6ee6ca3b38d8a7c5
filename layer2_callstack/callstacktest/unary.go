package callstacktest

import (
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// AnswerUnary is an OnBatch for a client: it plays a server that answers as
// soon as the whole request is there. It allocates nothing.
func AnswerUnary(s *Stream, b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendTrailingMetadata) {
		finish(Client, s)
	}
}

// AskUnary is an OnBatch for a server: it plays a client that sends a whole
// request, and goes when the trailers are there. It allocates nothing.
func AskUnary(s *Stream, b *transport.StreamOpBatch) {
	switch {
	case b.Ops.Has(transport.OpRecvInitialMetadata):
		s.Headers(fillServerHeaders, nil)
	case b.Ops.Has(transport.OpRecvMessage):
		s.Message(transport.NewBuffer(0), nil)
	case b.Ops.Has(transport.OpSendTrailingMetadata):
		s.Trailers(nil, nil)
	}
}

// fillServerHeaders is a function and not a method value, which would be
// allocated.
func fillServerHeaders(rim *transport.RecvInitialMetadata) { Server.FillHeaders(rim) }

// A Unary is the batches of one unary call, to be used again and again.
type Unary struct {
	// Args is what each call begins with. On a server the Deadline is in the
	// headers of the client.
	Args callstack.CallArgs

	call  *Call
	side  Side
	first *Batch
	then  *Batch
	last  *Batch
}

// NewUnary returns unary calls in the block of c.
func NewUnary(c *Call, side Side) *Unary {
	return &Unary{Args: side.Args(), call: c, side: side, first: NewBatch(0), then: NewBatch(0), last: NewBatch(0)}
}

// Run makes one call, whose peer is AnswerUnary or AskUnary. A client's call
// is one batch, as stubs send it; a server's is three.
func (u *Unary) Run() error {
	args := u.Args
	if u.side == Server {
		args.Deadline = time.Time{}
	}
	if err := u.call.Begin(args); err != nil {
		return err
	}
	message := u.first
	if u.side == Client {
		u.start(u.first, allOps)
	} else {
		message = u.then
		u.first.Renew(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		u.first.RecvHeaders.Deadline = u.Args.Deadline
		u.call.Stack.StartBatch(&u.first.StreamOpBatch)
		u.start(u.then, transport.OpRecvMessage)
		u.start(u.last, transport.OpsSend)
	}
	message.RecvMessage.Message.Release()
	u.call.Unref()
	return u.first.GotTrailers.Err()
}

func (u *Unary) start(b *Batch, ops transport.OpSet) {
	b.Renew(ops)
	u.call.Stack.StartBatch(&b.StreamOpBatch)
}
