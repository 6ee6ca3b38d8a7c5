package headerblock

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// An Encoder turns metadata into the blocks of one direction of a connection.
// It is used by one goroutine at a time, in the order in which the blocks are sent.
type Encoder struct {
	hpack *hpack.Encoder
	buf   bytes.Buffer // what hpack writes

	cache map[string]encoded // by path, or by status for a response
	ok    encoded            // the trailers of a call that went well
	gen   uint32             // counts changes of the dynamic table

	last map[string]string // the value each key of the application had last
}

// encoded is an all-indexed block and the fields that it was made from.
type encoded struct {
	gen   uint32
	known metadata.Known
	block []byte
}

// maxTableSize bounds the dynamic table whatever the peer allows: memory that
// a peer's SETTINGS_HEADER_TABLE_SIZE could claim otherwise.
const maxTableSize = 4096

// maxRemembered bounds the keys whose last value is remembered, and
// maxRememberedValue the length of such a value.
const (
	maxRemembered      = 64
	maxRememberedValue = 2048
)

// NewEncoder returns an encoder with a dynamic table of the default size, 4096.
func NewEncoder() *Encoder {
	e := &Encoder{cache: map[string]encoded{}, last: map[string]string{}}
	e.hpack = hpack.NewEncoder(&e.buf)
	return e
}

// SetMaxTableSize applies the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *Encoder) SetMaxTableSize(n uint32) {
	e.hpack.SetMaxDynamicTableSize(min(n, maxTableSize))
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
	if c, ok := e.cache[cacheKey(&list.Known)]; ok && c.gen == e.gen && c.known == list.Known {
		dst = append(dst, c.block...)
	} else {
		dst = e.known(dst, &list.Known)
	}
	if list.Deadline.IsZero() && !list.HasStatus && list.Len() == 0 {
		return dst, nil
	}
	e.buf.Reset()
	if !list.Deadline.IsZero() {
		var t [16]byte
		e.literal("grpc-timeout", string(coding.AppendTimeout(t[:0], list.Deadline.Sub(now))))
	}
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
	case !coding.ValidMetadataKey(p.Key) || coding.IsReserved(p.Key):
		return fmt.Errorf("metadata key %q may not be sent", clip(p.Key))
	case !coding.IsBin(p.Key) && !coding.ValidMetadataValue(p.Value):
		return fmt.Errorf("the value of metadata key %q has a byte outside 0x20 to 0x7e; keys that end in -bin take any", p.Key)
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

// known appends the fields with a slot and remembers their block once it is
// all-indexed, which it is from the second time on.
func (e *Encoder) known(dst []byte, k *metadata.Known) []byte {
	e.buf.Reset()
	for _, f := range [...]hpack.HeaderField{
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
	} {
		if f.Value != "" {
			e.field(f)
		}
	}
	block := e.buf.Bytes()
	if indexedPrefix(block) < len(block) {
		e.gen++ // literals were added to the table
	} else if len(block) > 0 {
		if len(e.cache) >= maxCached {
			clear(e.cache)
		}
		e.cache[cacheKey(k)] = encoded{gen: e.gen, known: *k, block: bytes.Clone(block)}
	}
	return append(dst, block...)
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
	e.buf.Reset()
	e.indexed("grpc-status", "0")
	block := e.buf.Bytes()
	if indexedPrefix(block) == len(block) {
		e.ok = encoded{gen: e.gen, block: bytes.Clone(block)}
	}
	return append(dst, block...)
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
	if e.last[p.Key] == value && value != "" {
		e.indexed(p.Key, value)
		return
	}
	if len(e.last) >= maxRemembered {
		clear(e.last)
	}
	if len(value) <= maxRememberedValue {
		e.last[p.Key] = value
	}
	e.literal(p.Key, value)
}

// indexed writes a field as an index, adding it to the table if it is not there.
func (e *Encoder) indexed(name, value string) {
	before := e.buf.Len()
	e.field(hpack.HeaderField{Name: name, Value: value})
	if e.buf.Bytes()[before] < 0x80 {
		e.gen++
	}
}

// literal writes a field without touching the table.
func (e *Encoder) literal(name, value string) {
	e.field(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
}

func (e *Encoder) field(f hpack.HeaderField) {
	// A bytes.Buffer takes every write.
	_ = e.hpack.WriteField(f)
}
