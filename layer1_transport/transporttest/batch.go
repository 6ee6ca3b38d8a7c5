package transporttest

import (
	"sync/atomic"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// waitTime bounds each wait for a callback. In a bubble it passes as soon as
// nothing can happen any more.
const waitTime = 20 * time.Second

// A Batch is a [transport.StreamOpBatch] whose callbacks can be waited for.
// The methods that add operations and Start return the batch itself.
//
// One goroutine makes and starts a batch; the waiting methods may be called
// from any, each once.
type Batch struct {
	// Headers is what recv_initial_metadata received, after WaitHeaders.
	Headers metadata.List
	// Peer is set by the operations on initial metadata.
	Peer transport.PeerSlot
	// Sent is set when the trailers were really sent.
	Sent atomic.Bool

	call     *Call
	op       transport.StreamOpBatch
	trailers metadata.List

	sent, headers, message, trailing completion
	left                             atomic.Int32 // callbacks to come, and one for Start
}

// A completion is one callback of a batch.
type completion struct {
	batch *Batch
	name  string
	done  chan error
	then  func(err error)
	ran   atomic.Bool
	after []*completion // those that were outstanding when this one was started
}

// Batch returns a batch without operations.
func (c *Call) Batch() *Batch {
	b := &Batch{call: c}
	b.left.Store(1)
	return b
}

// SendHeaders adds send_initial_metadata.
func (b *Batch) SendHeaders(md *metadata.List) *Batch {
	b.op.SendInitialMetadata.MD = md
	b.op.SendInitialMetadata.Peer = &b.Peer
	return b.send(transport.OpSendInitialMetadata)
}

// SendMessage adds send_message with a copy of data.
func (b *Batch) SendMessage(data []byte) *Batch {
	b.op.SendMessage.Buf = transport.NewBuffer(len(data))
	b.op.SendMessage.Buf.Append(data)
	return b.send(transport.OpSendMessage)
}

// SendTrailers adds send_trailing_metadata.
func (b *Batch) SendTrailers(md *metadata.List) *Batch {
	b.op.SendTrailingMetadata.MD = md
	b.op.SendTrailingMetadata.Sent = &b.Sent
	return b.send(transport.OpSendTrailingMetadata)
}

// HalfClose adds the send_trailing_metadata of a client.
func (b *Batch) HalfClose() *Batch { return b.SendTrailers(new(metadata.List)) }

// Flags sets the flags of the headers and of the message that b sends.
func (b *Batch) Flags(flags uint32) *Batch {
	b.op.SendInitialMetadata.Flags, b.op.SendMessage.Flags = flags, flags
	return b
}

// RecvHeaders adds recv_initial_metadata.
func (b *Batch) RecvHeaders() *Batch {
	b.op.RecvInitialMetadata = transport.RecvInitialMetadata{MD: &b.Headers, Peer: &b.Peer, Ready: &b.headers}
	return b.recv(transport.OpRecvInitialMetadata, &b.headers)
}

// RecvMessage adds recv_message, with the longest message that is wanted.
func (b *Batch) RecvMessage(limit int) *Batch {
	b.op.RecvMessage = transport.RecvMessage{Limit: limit, Ready: &b.message}
	return b.recv(transport.OpRecvMessage, &b.message)
}

// RecvOnlyMessage adds recv_message for a call that has one message.
func (b *Batch) RecvOnlyMessage() *Batch {
	b.op.RecvMessage = transport.RecvMessage{Only: true, Ready: &b.message}
	return b.recv(transport.OpRecvMessage, &b.message)
}

// RecvTrailers adds recv_trailing_metadata.
func (b *Batch) RecvTrailers() *Batch {
	b.op.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &b.trailers, Ready: &b.trailing}
	return b.recv(transport.OpRecvTrailingMetadata, &b.trailing)
}

// Cancel adds cancel_stream.
func (b *Batch) Cancel(err error) *Batch {
	b.op.Ops |= transport.OpCancelStream
	b.op.CancelErr = err
	return b
}

// Then says what the callback of op does before it is over. It runs on the
// transport's goroutine.
func (b *Batch) Then(op transport.OpSet, f func(err error)) *Batch {
	switch op {
	case transport.OpRecvInitialMetadata:
		b.headers.then = f
	case transport.OpRecvMessage:
		b.message.then = f
	case transport.OpRecvTrailingMetadata:
		b.trailing.then = f
	default:
		b.sent.then = f
	}
	return b
}

func (b *Batch) send(op transport.OpSet) *Batch {
	if b.op.OnComplete == nil {
		b.op.OnComplete = &b.sent
		b.expect(&b.sent, "send")
	}
	b.op.Ops |= op
	return b
}

func (b *Batch) recv(op transport.OpSet, c *completion) *Batch {
	b.op.Ops |= op
	b.expect(c, op.String())
	return b
}

func (b *Batch) expect(c *completion, name string) {
	c.batch, c.name, c.done = b, name, make(chan error, 1)
	b.left.Add(1)
}

// Start performs the batch. The batch holds a reference of the owner until its
// last callback has run.
func (b *Batch) Start() *Batch {
	c := b.call
	c.Owner.Ref()
	c.outstanding(b)
	c.Stream.PerformBatch(&b.op)
	b.release()
	return b
}

// release counts a callback that has run, or the start itself.
func (b *Batch) release() {
	if b.left.Add(-1) == 0 {
		b.call.Owner.Unref()
	}
}

// Run implements [transport.Done].
func (c *completion) Run(err error) {
	o := c.batch.call.Owner
	o.enter(c.name)
	if c.ran.Swap(true) {
		o.t.Errorf("%s: callback of %s ran twice", o.name, c.name)
		o.leave()
		return
	}
	for _, earlier := range c.after {
		if !earlier.ran.Load() {
			o.t.Errorf("%s: callback of %s ran before that of %s, which was outstanding", o.name, c.name, earlier.name)
		}
	}
	if c.then != nil {
		c.then(err)
	}
	o.leave()
	c.done <- err
	c.batch.release()
}

// wait returns what the callback was given.
func (c *completion) wait() error {
	b := c.batch
	if b == nil {
		panic("transporttest: a wait for an operation that the batch does not have")
	}
	b.call.t.Helper()
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case err := <-c.done:
		return err
	case <-timer.C:
		b.call.t.Fatalf("%s: no callback of %s", b.call.Owner, c.name)
		return nil
	}
}

// WaitSent waits until the send operations are done.
func (b *Batch) WaitSent() error { b.call.t.Helper(); return b.sent.wait() }

// IsSent reports whether the send operations are done, without waiting.
func (b *Batch) IsSent() bool { return b.sent.ran.Load() }

// WriteClosed reports that the message was dropped because the peer has ended
// the stream, after WaitSent.
func (b *Batch) WriteClosed() bool { return b.op.SendMessage.WriteClosed }

// WaitHeaders waits for the headers, which are then in b.Headers.
func (b *Batch) WaitHeaders() error { b.call.t.Helper(); return b.headers.wait() }

// TrailersOnly reports that the stream ended without headers of its own, after
// WaitHeaders.
func (b *Batch) TrailersOnly() bool { return b.op.RecvInitialMetadata.TrailersOnly }

// WaitMessage waits for a message and returns its bytes. ok is false where no
// message came.
func (b *Batch) WaitMessage() (data []byte, ok bool, err error) {
	b.call.t.Helper()
	err = b.message.wait()
	m := b.op.RecvMessage.Message
	if m == nil {
		return nil, false, err
	}
	data = append([]byte{}, m.Bytes()...)
	m.Release()
	return data, true, err
}

// HasMessage reports whether recv_message is done, without waiting.
func (b *Batch) HasMessage() bool { return b.message.ran.Load() }

// WaitTrailers waits for the end of the stream.
func (b *Batch) WaitTrailers() (*metadata.List, error) {
	b.call.t.Helper()
	err := b.trailing.wait()
	return &b.trailers, err
}

// HasTrailers reports whether recv_trailing_metadata is done, without waiting.
func (b *Batch) HasTrailers() bool { return b.trailing.ran.Load() }
