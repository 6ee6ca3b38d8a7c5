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

// fillServerHeaders is a function and not a method value, which would be
// allocated.
func fillServerHeaders(rim *transport.RecvInitialMetadata) { Server.FillHeaders(rim) }

// A Unary is the batches of one unary call, to be used again and again. The peer
// answers as soon as a batch was started, on the same goroutine, but not within
// StartBatch: neither does the goroutine that reads a connection. Callbacks that run
// on top of all filters' StartBatch are deeper than a processor remembers returns.
type Unary struct {
	// Args is what each call begins with. On a server the Deadline is in the
	// headers of the client.
	Args callstack.CallArgs

	call   *Call
	side   Side
	stream *Stream // of the present call
	first  *Batch
	then   *Batch
	last   *Batch
}

// NewUnary returns unary calls in a block of their own of s, a stack over tr. It
// hooks itself in front of tr.OnBatch.
func NewUnary(tr *Transport, s *callstack.ChannelStack, side Side) *Unary {
	u := &Unary{Args: side.Args(), call: NewCall(s), side: side, first: NewBatch(0), then: NewBatch(0), last: NewBatch(0)}
	rest := tr.OnBatch
	tr.OnBatch = func(st *Stream, b *transport.StreamOpBatch) {
		u.stream = st
		if rest != nil {
			rest(st, b)
		}
	}
	return u
}

// Run makes one call. A client's call is one batch, as stubs send it; a server's
// is three.
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
		finish(Client, u.stream)
	} else {
		message = u.then
		u.serve()
	}
	message.RecvMessage.Message.Release()
	u.call.Unref()
	return u.first.GotTrailers.Err()
}

// serve is Run on a server.
func (u *Unary) serve() {
	u.first.Renew(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	u.first.RecvHeaders.Deadline = u.Args.Deadline
	u.call.Stack.StartBatch(&u.first.StreamOpBatch)
	u.stream.Headers(fillServerHeaders, nil)
	u.start(u.then, transport.OpRecvMessage)
	u.stream.Message(transport.NewBuffer(0), nil)
	u.start(u.last, transport.OpsSend)
	u.stream.Trailers(nil, nil)
}

func (u *Unary) start(b *Batch, ops transport.OpSet) {
	b.Renew(ops)
	u.call.Stack.StartBatch(&b.StreamOpBatch)
}
