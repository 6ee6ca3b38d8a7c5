package transporttest

import (
	"slices"
	"sync"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// A Call is one end of a call: a stream with its owner. What it starts with
// [Call.Batch] is checked against the rules of callbacks.
//
// All methods may be called at the same time, as far as the operations that
// they start may.
type Call struct {
	// Set by newCall, read-only afterwards. The acceptor sets t once more.
	t      testing.TB
	Stream transport.Stream
	Owner  *Owner

	mu sync.Mutex
	// Guarded by mu.
	recvs    []*completion // receiving operations, oldest first
	released bool
}

func newCall(t testing.TB, tr transport.Transport, name string) *Call {
	return &Call{t: t, Stream: tr.NewStream(), Owner: newOwner(t, name)}
}

// NewClientCall returns the client's end of a call on tr. Nothing happens on
// the connection before its first batch.
func NewClientCall(t testing.TB, tr transport.Transport) *Call {
	c := newCall(t, tr, "client call")
	c.Reuse(nil)
	return c
}

// NewServerCall returns the server's end of a call that tr accepted. It is
// for [transport.Acceptor.AcceptStream].
func NewServerCall(t testing.TB, tr transport.Transport, accepted transport.Accepted) *Call {
	c := newCall(t, tr, "server call")
	c.Reuse(accepted)
	return c
}

// Reuse makes the stream of a call whose owner is gone the end of another one.
func (c *Call) Reuse(accepted transport.Accepted) {
	c.mu.Lock()
	c.recvs, c.released = nil, false
	c.mu.Unlock()
	c.Owner.start(c.Stream)
	c.Stream.Init(c.Owner, accepted)
}

// Release drops the application's reference of the call. Further calls of it
// do nothing.
func (c *Call) Release() {
	c.mu.Lock()
	again := c.released
	c.released = true
	c.mu.Unlock()
	if !again {
		c.Owner.Unref()
	}
}

// WaitGone releases the call and waits until nobody refers to its owner.
func (c *Call) WaitGone() {
	c.t.Helper()
	c.Release()
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case <-c.Owner.Gone():
	case <-timer.C:
		c.t.Fatalf("%s: the owner is still referred to", c.Owner)
	}
}

// outstanding writes down which receiving operations each one of b has to
// follow: recv_message the headers that were asked for before it, and
// recv_trailing_metadata all others.
func (c *Call) outstanding(b *Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recvs = slices.DeleteFunc(c.recvs, func(earlier *completion) bool { return earlier.ran.Load() })
	if b.op.Ops.Has(transport.OpRecvInitialMetadata) {
		c.recvs = append(c.recvs, &b.headers)
	}
	for _, earlier := range c.recvs {
		if b.op.Ops.Has(transport.OpRecvMessage) && earlier.name == transport.OpRecvInitialMetadata.String() {
			b.message.after = append(b.message.after, earlier)
		}
	}
	if b.op.Ops.Has(transport.OpRecvMessage) {
		c.recvs = append(c.recvs, &b.message)
	}
	if b.op.Ops.Has(transport.OpRecvTrailingMetadata) {
		b.trailing.after = append(b.trailing.after, c.recvs...)
	}
}

// An Acceptor makes a [Call] of each stream that the peer begins.
type Acceptor struct {
	// Set by NewAcceptor, read-only afterwards.
	t     testing.TB
	calls chan *Call

	mu sync.Mutex
	// Guarded by mu.
	refuse bool
}

// acceptQueue is how many accepted calls may wait for [Acceptor.Accept].
const acceptQueue = 1024

// NewAcceptor accepts the streams of tr, the server's end of a connection.
func NewAcceptor(t testing.TB, tr transport.Transport) *Acceptor {
	a := &Acceptor{t: t, calls: make(chan *Call, acceptQueue)}
	tr.PerformOp(&transport.Op{Accept: a})
	return a
}

// AcceptStream implements [transport.Acceptor].
func (a *Acceptor) AcceptStream(tr transport.Transport, accepted transport.Accepted) {
	a.mu.Lock()
	refuse := a.refuse
	a.mu.Unlock()
	if refuse {
		return
	}
	a.calls <- NewServerCall(a.t, tr, accepted)
}

// Refuse says whether further streams are refused.
func (a *Acceptor) Refuse(yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = yes
}

// Accept waits for the next call.
func (a *Acceptor) Accept() *Call {
	a.t.Helper()
	return a.accept(a.t)
}

// accept is Accept for a goroutine on which t may fail.
func (a *Acceptor) accept(t testing.TB) *Call {
	t.Helper()
	timer := time.NewTimer(waitTime)
	defer timer.Stop()
	select {
	case c := <-a.calls:
		c.t = t
		return c
	case <-timer.C:
		t.Fatal("the server accepted no stream")
		return nil
	}
}

// waiting returns the calls that nobody has taken.
func (a *Acceptor) waiting() (calls []*Call) {
	for {
		select {
		case c := <-a.calls:
			calls = append(calls, c)
		default:
			return calls
		}
	}
}
