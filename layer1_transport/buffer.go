package transport

import (
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"
)

// A Buffer holds one message. It is counted: whoever is given a reference
// calls Release once, and the bytes must not be used after that.
//
// The bytes are immutable as soon as a second reference exists. A reference
// that goes to another owner, down a stack or, in process, to the other end of a
// call, is the whole claim of whoever gave it away: who wants to read the bytes
// later adds a reference first, and nobody may change them from then on.
type Buffer struct {
	data []byte
	refs atomic.Int32

	// Compressed is the flag byte of the gRPC-HTTP2 Length-Prefixed-Message.
	Compressed bool

	// WireLen is the length that a message had in compressed form before layer
	// 2 inflated it; 0 for one that came as it is.
	WireLen int

	class int8 // index into bufferPools; -1 is not pooled
}

// String tells the length of the message and nothing of its bytes.
func (b *Buffer) String() string {
	if b == nil {
		return "Buffer[nil]"
	}
	return "Buffer[" + strconv.Itoa(len(b.data)) + " bytes]"
}

// Format writes String for every verb.
func (b *Buffer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, b.String()) }

// LogValue is String, for package slog.
func (b *Buffer) LogValue() slog.Value { return slog.StringValue(b.String()) }

// Buffers are pooled in powers of two between these sizes. Larger ones are
// left to the garbage collector: a pool would pin them.
const (
	minBufferBits = 8  // 256 B
	maxBufferBits = 22 // 4 MiB, the usual limit of a message
)

// bufferPools hold plain memory only, so they may be shared by everything.
var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// NewBuffer returns an empty buffer with room for size bytes and one reference.
func NewBuffer(size int) *Buffer {
	class := max(bits.Len(uint(max(size, 1)-1)), minBufferBits) - minBufferBits
	if class >= len(bufferPools) {
		b := &Buffer{data: make([]byte, 0, size), class: -1}
		b.refs.Store(1)
		return b
	}
	b, _ := bufferPools[class].Get().(*Buffer)
	if b == nil {
		b = &Buffer{data: make([]byte, 0, 1<<(class+minBufferBits)), class: int8(class)}
	}
	b.refs.Store(1)
	return b
}

// WrapBuffer returns a buffer around data, which the caller must not modify
// afterwards. Releasing it leaves data to the garbage collector.
func WrapBuffer(data []byte) *Buffer {
	b := &Buffer{data: data, class: -1}
	b.refs.Store(1)
	return b
}

// Bytes returns the message, valid while the caller has a reference.
func (b *Buffer) Bytes() []byte { return b.data }

// Len returns the length of the message in bytes.
func (b *Buffer) Len() int { return len(b.data) }

// Cap returns the number of bytes that fit without growing.
func (b *Buffer) Cap() int { return cap(b.data) }

// SetBytes makes data the content. It is meant for appending functions:
//
//	b.SetBytes(appendTo(b.Bytes()[:0]))
//
// When data does not begin where the buffer's memory does, the old memory is
// dropped and the buffer leaves its pool: what an appending function returns
// may be its own, of whatever capacity. Only the sole owner may call it.
func (b *Buffer) SetBytes(data []byte) {
	if b.class >= 0 && (cap(data) != cap(b.data) || &data[:1][0] != &b.data[:1][0]) {
		b.class = -1
	}
	b.data = data
}

// Append adds p, growing when it must. Only the sole owner may call it.
func (b *Buffer) Append(p []byte) { b.SetBytes(append(b.data, p...)) }

// Ref adds a reference. Only who has one may call it.
func (b *Buffer) Ref() {
	if n := b.refs.Add(1); n <= 1 {
		panic(fmt.Sprintf("transport: reference %d to a buffer that was released", n))
	}
}

// Release drops a reference; the last one recycles the memory. A nil buffer
// is left alone.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic(fmt.Sprintf("transport: buffer of %d bytes released %d times too often", len(b.data), -n))
	}
	if b.class < 0 {
		b.data = nil
		return
	}
	b.data = b.data[:0]
	b.Compressed, b.WireLen = false, 0
	bufferPools[b.class].Put(b)
}
