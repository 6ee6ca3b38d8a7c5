package headerblock

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/internal/quote"
	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// An Encoder turns metadata into the blocks of one direction of a connection.
// It is used by one goroutine at a time, in the order in which the blocks are sent.
type Encoder struct {
	hpack   *hpack.Encoder
	buf     bytes.Buffer // what hpack writes
	resized bool         // the next field that hpack writes has a size update before it
	most    uint32       // bytes of dynamic table, whatever the peer allows

	cache map[string]encoded // by path, or by status for a response
	ok    encoded            // the trailers of a call that went well
	gen   uint32             // counts changes of the dynamic table

	// last has a hash of the value that each key of the application had
	// last. Two values with one hash do no harm: the second is added to the
	// table a call too early.
	last map[string]uint64
	seed maphash.Seed
}

// encoded is a block that leaves the table as it is, and the fields that it
// was made from.
type encoded struct {
	gen    uint32
	known  metadata.Known
	block  []byte
	pseudo int // how many bytes of block are pseudo-header fields
}

// maxTableSize bounds the dynamic table whatever the peer allows, unless
// LimitTable says otherwise: memory that a peer's SETTINGS_HEADER_TABLE_SIZE
// could claim otherwise.
const maxTableSize = 4096

// maxEncoded bounds the blocks that are kept, maxRemembered the keys whose
// last value is remembered.
const (
	maxEncoded    = 128
	maxRemembered = 64
)

// NewEncoder returns an encoder with a dynamic table of the default size, 4096.
func NewEncoder() *Encoder {
	e := &Encoder{most: maxTableSize, cache: map[string]encoded{}, last: map[string]uint64{}, seed: maphash.MakeSeed()}
	e.hpack = hpack.NewEncoder(&e.buf)
	return e
}

// LimitTable bounds the dynamic table to n bytes. It is called before the first
// block; the peer allows 4096 until it says otherwise. RFC 9113 §6.5.2.
func (e *Encoder) LimitTable(n uint32) {
	e.most = n
	e.hpack.SetMaxDynamicTableSizeLimit(n)
	if n < tableSize {
		e.SetMaxTableSize(n)
	}
}

// SetMaxTableSize applies the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *Encoder) SetMaxTableSize(n uint32) {
	e.hpack.SetMaxDynamicTableSize(min(n, e.most))
	e.resized = true
	e.gen++
}

// Append appends the block of list to dst. The time that is left until the
// list's deadline is measured from now. An error means that a field may not be
// sent; nothing was appended then, and the compression state is intact.
func (e *Encoder) Append(dst []byte, list *metadata.List, now time.Time) ([]byte, error) {
	for _, p := range list.Pairs() {
		if err := check(p); err != nil {
			return dst, err
		}
	}
	if isOK(list) {
		return e.okTrailers(dst), nil
	}
	c, ok := e.cache[cacheKey(&list.Known)]
	if !ok || c.gen != e.gen || c.known != list.Known {
		if err := checkKnown(&list.Known); err != nil {
			return dst, err
		}
		c = e.known(&list.Known)
	}
	dst = append(dst, c.block[:c.pseudo]...)
	if !list.Deadline.IsZero() {
		dst = e.timeout(dst, list.Deadline.Sub(now)) // gRPC-HTTP2 Requests: right behind them
	}
	dst = append(dst, c.block[c.pseudo:]...)
	if !list.HasStatus && list.Len() == 0 {
		return dst, nil
	}
	e.reset()
	if list.HasStatus {
		e.status(list)
	}
	for _, p := range list.Pairs() {
		e.user(p)
	}
	return append(dst, e.buf.Bytes()...), nil
}

// check is the one place that every field of the application passes on its
// way out, whoever set it. gRPC-HTTP2 Custom-Metadata.
func check(p metadata.Pair) error {
	switch {
	case coding.IsReserved(p.Key):
		return fmt.Errorf("metadata key %s may not be sent: it is one of HTTP/2 or gRPC", quote.Text(p.Key))
	case !coding.ValidMetadataKey(p.Key):
		return fmt.Errorf("metadata key %s may not be sent: it is empty or holds something other than 0-9, a-z, hyphen, underscore and dot", quote.Text(p.Key))
	case !coding.IsBin(p.Key) && !coding.ValidMetadataValue(p.Value):
		return fmt.Errorf("the value of metadata key %s has a byte outside 0x20 to 0x7e; keys that end in -bin take any", quote.Text(p.Key))
	}
	return nil
}

// checkKnown does the same for the fields with a slot. Most come from the
// library, but a path or an authority can be whatever the application has.
func checkKnown(k *metadata.Known) error {
	for _, f := range fields(k) {
		if !coding.ValidValue(f.Value) {
			return fmt.Errorf("the value of %q has a byte that RFC 9113 §8.2.1 forbids", f.Name)
		}
	}
	return nil
}

// cacheKey tells the few blocks of a connection apart well enough; the fields
// are compared afterwards.
func cacheKey(k *metadata.Known) string {
	if k.Path != "" {
		return k.Path
	}
	return k.HTTPStatus
}

// firstRegular is the place of the first field in fields that is no
// pseudo-header field.
const firstRegular = 5

// fields lists the fields with a slot in the order of the wire: pseudo-header
// fields first, RFC 9113 §8.3.
func fields(k *metadata.Known) [10]hpack.HeaderField {
	return [...]hpack.HeaderField{
		{Name: ":status", Value: k.HTTPStatus},
		{Name: ":method", Value: k.Method},
		{Name: ":scheme", Value: k.Scheme},
		{Name: ":path", Value: k.Path},
		{Name: ":authority", Value: k.Authority},
		{Name: "content-type", Value: k.ContentType},
		{Name: "user-agent", Value: k.UserAgent},
		{Name: "te", Value: k.TE},
		{Name: "grpc-encoding", Value: k.Encoding},
		{Name: "grpc-accept-encoding", Value: k.AcceptEncoding},
	}
}

// ListSize is the size of list on the wire as RFC 9113 §6.5.2 counts it.
func ListSize(list *metadata.List) (n int64) {
	add := func(name string, value int) { n += int64(len(name) + value + 32) }
	if list.Known != (metadata.Known{}) {
		n = knownSize(&list.Known)
	}
	if !list.Deadline.IsZero() {
		add("grpc-timeout", 9)
	}
	if list.HasStatus {
		add("grpc-status", 2)
	}
	if list.Message != "" {
		add("grpc-message", len(coding.EncodeMessage(list.Message)))
	}
	for _, p := range list.Pairs() {
		if coding.IsBin(p.Key) {
			add(p.Key, (len(p.Value)*4+2)/3)
		} else {
			add(p.Key, len(p.Value))
		}
	}
	return n
}

// knownSize is the part of ListSize of what fields returns. It is asked for with
// every block, and to build the list took longer than to encode it.
func knownSize(k *metadata.Known) int64 {
	size := func(name, value string) int {
		if value == "" {
			return 0
		}
		return len(name) + len(value) + 32
	}
	return int64(size(":status", k.HTTPStatus) + size(":method", k.Method) + size(":scheme", k.Scheme) +
		size(":path", k.Path) + size(":authority", k.Authority) + size("content-type", k.ContentType) +
		size("user-agent", k.UserAgent) + size("te", k.TE) +
		size("grpc-encoding", k.Encoding) + size("grpc-accept-encoding", k.AcceptEncoding))
}

// known returns the block of the fields with a slot, valid until the next field
// is written, and remembers it once it leaves the table as it is, which it does
// from the second time on.
func (e *Encoder) known(k *metadata.Known) encoded {
	e.reset()
	c := encoded{known: *k}
	for i, f := range fields(k) {
		if i == firstRegular {
			c.pseudo = e.buf.Len()
		}
		if f.Value != "" {
			e.field(f)
		}
	}
	c.block = e.buf.Bytes()
	if !keepsTable(c.block) {
		e.gen++
	} else if len(c.block) > 0 {
		if len(e.cache) >= maxEncoded {
			clear(e.cache)
		}
		c.gen, c.block = e.gen, bytes.Clone(c.block)
		e.cache[cacheKey(k)] = c
	}
	return c
}

// isOK reports whether l is the trailers of a call that went well and has
// nothing to add.
func isOK(l *metadata.List) bool {
	return l.HasStatus && l.Status == 0 && l.Message == "" && l.Len() == 0 &&
		l.Deadline.IsZero() && l.Known == metadata.Known{}
}

// okTrailers appends "grpc-status: 0", by far the most frequent trailers.
func (e *Encoder) okTrailers(dst []byte) []byte {
	if e.ok.gen == e.gen && len(e.ok.block) > 0 {
		return append(dst, e.ok.block...)
	}
	e.reset()
	e.indexed("grpc-status", "0")
	block := e.buf.Bytes()
	if keepsTable(block) {
		e.ok = encoded{gen: e.gen, block: bytes.Clone(block)}
	}
	return append(dst, block...)
}

// timeoutName begins a literal without indexing whose name is grpc-timeout.
// RFC 7541 §6.2.2.
var timeoutName = appendName("grpc-timeout")

func appendName(name string) []byte {
	const huffman = 0x80 // RFC 7541 §5.2
	return hpack.AppendHuffmanString([]byte{0, huffman | byte(hpack.HuffmanEncodeLength(name))}, name)
}

// timeout appends grpc-timeout. It is written by hand, since hpack wants the
// value as a string: BenchmarkEncodeCached has one allocation less by it.
func (e *Encoder) timeout(dst []byte, left time.Duration) []byte {
	var room [16]byte
	value := coding.AppendTimeout(room[:0], left)
	if e.resized { // no field with a slot was written before
		e.reset()
		e.literal("grpc-timeout", string(value))
		return append(dst, e.buf.Bytes()...)
	}
	dst = append(dst, timeoutName...)
	dst = append(dst, byte(len(value)))
	return append(dst, value...)
}

// status writes grpc-status and grpc-message. The code is one of few values
// and indexed; the message is not. gRPC-HTTP2 Status, Status-Message.
func (e *Encoder) status(l *metadata.List) {
	e.indexed("grpc-status", strconv.FormatUint(uint64(l.Status), 10))
	if l.Message != "" {
		e.literal("grpc-message", coding.EncodeMessage(l.Message))
	}
}

// user writes a field of the application. It is added to the table only when
// its key had the same value the last time: a value that changes with every
// call would push everything else out of the table and never be used again.
func (e *Encoder) user(p metadata.Pair) {
	var value string
	if coding.IsBin(p.Key) {
		value = coding.EncodeBin(p.Value)
	} else {
		value = coding.TrimValue(p.Value) // RFC 9113 §8.2.1: no blanks at the ends
	}
	if size := len(p.Key) + len(value) + 32; size > int(e.hpack.MaxDynamicTableSize())/2 {
		e.literal(p.Key, value) // it would push out most of the rest
		return
	}
	hash := maphash.String(e.seed, value)
	last, ok := e.last[p.Key]
	if ok && last == hash {
		e.indexed(p.Key, value)
		return
	}
	if !ok && len(e.last) >= maxRemembered {
		clear(e.last)
	}
	e.last[p.Key] = hash
	e.literal(p.Key, value)
}

// indexed writes a field as an index, adding it to the table if it is not there.
func (e *Encoder) indexed(name, value string) {
	before := e.buf.Len()
	e.field(hpack.HeaderField{Name: name, Value: value})
	if !keepsTable(e.buf.Bytes()[before:]) {
		e.gen++
	}
}

// literal writes a field without touching the table. "Never indexed" is more
// than is meant, since it binds intermediaries too, but the only way to tell
// package hpack. RFC 7541 §6.2.3.
func (e *Encoder) literal(name, value string) {
	e.field(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
}

// keepLimit bounds the buffer that is kept from one block to the next.
const keepLimit = 64 << 10

// reset empties the buffer.
func (e *Encoder) reset() {
	if e.buf.Cap() > keepLimit {
		e.buf = bytes.Buffer{}
	}
	e.buf.Reset()
}

func (e *Encoder) field(f hpack.HeaderField) {
	e.resized = false
	// A bytes.Buffer takes every write.
	_ = e.hpack.WriteField(f)
}
