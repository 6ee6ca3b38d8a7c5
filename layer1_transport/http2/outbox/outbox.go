// Package outbox holds the bytes that a connection is about to write.
//
// Small things are copied into one buffer, so that many frames make one write.
// The payload of a large message is not copied: it stays in its own buffer and
// is written from there, between the bytes before and after it, by writev.
//
// An [Outbox] does no I/O of its own until it is told to, and its methods are
// called under the lock of its owner. A [Batch] taken from it belongs to
// whoever took it.
package outbox

import (
	"net"
	"sync"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// copyLimit is the length up to which payload is copied: below it the copy is
// cheaper than another element of writev.
const copyLimit = 8 << 10

// keepLimit bounds the buffer that is kept for a later batch.
const keepLimit = 1 << 20

// memories holds the memory of batches, so that a connection with nothing to
// write has none. Plain memory, so it may be shared.
var memories sync.Pool

// An Outbox collects frames in the order in which they are to be written.
//
// Invariant: Len() is the length of what Take would return.
type Outbox struct {
	batch Batch
	spare Batch // the memory of a batch that was written, while others wait
	total int64 // bytes ever appended
	shut  bool  // Discard was called
}

// A Batch is what one write is to carry.
type Batch struct {
	memory
	home *memory // where memory lies in the pool; nil before there is any
	size int
	bulk int // of size: what flow control or the application paces
	idle int // of size: what may wait for more, see Defer
}

// A memory is what a batch is made of.
type memory struct {
	small []byte
	large []piece
	iov   net.Buffers // memory of Buffers
}

// A piece is payload that stands between two of the small bytes.
type piece struct {
	at   int // how many small bytes come before it
	data []byte
	buf  *transport.Buffer // keeps data alive
}

// Len returns the number of bytes that wait.
func (o *Outbox) Len() int { return o.batch.size }

// Answers returns the number of bytes that wait without those told to Bulk.
func (o *Outbox) Answers() int { return o.batch.size - o.batch.bulk }

// MaxDeferred bounds the bytes that wait for more: gRPC core's write buffer, of a
// stream there and of the connection here. What is above it is worth a write.
const MaxDeferred = 64 << 10

// Defer notes that n of the bytes appended last need not be written before more
// comes. It does so for MaxDeferred bytes at the most, and for none together
// with others that are due.
func (o *Outbox) Defer(n int) {
	if !o.shut {
		if o.batch.idle += n; o.batch.idle > MaxDeferred {
			o.Hurry()
		}
	}
}

// Hurry makes all that was deferred due.
func (o *Outbox) Hurry() { o.batch.idle = 0 }

// Due reports whether something waits that is to be written, with which goes
// what was deferred.
func (o *Outbox) Due() bool { return o.batch.size > o.batch.idle }

// Closed reports whether Discard was called.
func (o *Outbox) Closed() bool { return o.shut }

// Bulk notes that n of the bytes appended last are no answer to the peer.
func (o *Outbox) Bulk(n int) {
	if !o.shut {
		o.batch.bulk += n
	}
}

// Total returns the number of bytes that were ever appended.
func (o *Outbox) Total() int64 { return o.total }

// Append lets f append frames. f must return what it was given, extended.
func (o *Outbox) Append(f func(dst []byte) []byte) { o.Commit(f(o.Small())) }

// Small returns the buffer for appending. It must be given to Commit before
// anything else is called.
func (o *Outbox) Small() []byte {
	if o.batch.home == nil {
		o.batch.take()
	}
	return o.batch.small
}

// Commit takes back the buffer of Small, with what was appended to it.
func (o *Outbox) Commit(b []byte) {
	n := len(b) - len(o.batch.small)
	if o.shut {
		o.total += int64(n)
		return
	}
	o.batch.small = b
	o.batch.size += n
	o.total += int64(n)
}

// AppendPayload appends data, which is part of buf.
func (o *Outbox) AppendPayload(buf *transport.Buffer, data []byte) {
	if len(data) < copyLimit || o.shut {
		o.Commit(append(o.Small(), data...))
		return
	}
	if o.batch.home == nil {
		o.batch.take()
	}
	buf.Ref()
	o.batch.large = append(o.batch.large, piece{at: len(o.batch.small), data: data, buf: buf})
	o.batch.size += len(data)
	o.total += int64(len(data))
}

// Discard drops what waits and all that is appended from now on: the
// connection takes no more bytes.
func (o *Outbox) Discard() {
	o.batch.Release()
	o.batch = Batch{}
	o.shut = true
}

// Take returns what waits and leaves the outbox empty.
func (o *Outbox) Take() Batch {
	b := o.batch
	o.batch, o.spare = o.spare, Batch{}
	return b
}

// Recycle releases the payload of b and keeps its memory for a later batch: of
// this outbox if something waits, else of any.
func (o *Outbox) Recycle(b Batch) {
	b.Release()
	b = Batch{home: b.home, memory: memory{small: b.small[:0], large: b.large[:0], iov: b.iov[:0]}}
	if cap(b.small) > keepLimit {
		b.small = nil
	}
	if o.batch.size > 0 {
		o.spare = b
		return
	}
	b.give()
	o.batch.give()
	o.spare.give()
}

// take gets memory from the pool. The batch has none.
func (b *Batch) take() {
	if b.home, _ = memories.Get().(*memory); b.home == nil {
		b.home = new(memory)
	}
	b.memory, *b.home = *b.home, memory{}
}

// give returns the memory to the pool. The batch is empty.
func (b *Batch) give() {
	if b.home != nil {
		*b.home = b.memory
		memories.Put(b.home)
	}
	*b = Batch{}
}

// Len returns the number of bytes in b.
func (b *Batch) Len() int { return b.size }

// Release drops the references to payload.
func (b *Batch) Release() {
	clear(b.iov[:cap(b.iov)]) // which would keep the payload's memory alive
	for i := range b.large {
		b.large[i].buf.Release()
	}
	clear(b.large)
	b.large = b.large[:0]
}

// Plain returns the bytes if they lie in one piece.
func (b *Batch) Plain() ([]byte, bool) { return b.small, len(b.large) == 0 }

// Buffers returns the bytes in order, without the first skip of them. The
// result is valid until the next call and until Release.
func (b *Batch) Buffers(skip int) net.Buffers {
	iov := b.iov[:0]
	add := func(p []byte) {
		n := min(skip, len(p))
		skip -= n
		if n < len(p) {
			iov = append(iov, p[n:])
		}
	}
	from := 0
	for _, l := range b.large {
		add(b.small[from:l.at])
		add(l.data)
		from = l.at
	}
	add(b.small[from:])
	b.iov = iov
	return iov
}
