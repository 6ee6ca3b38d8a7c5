package headerblock

import (
	"fmt"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// Limits bound what a block may hold.
type Limits struct {
	// ListSize is the sum of name, value and 32 for each field. RFC 9113 §6.5.2.
	ListSize int
	// Fields is their number: many tiny indexed fields cost more memory than
	// their size says.
	Fields int
}

// A Kind is what a block is for, which decides what it may hold.
type Kind uint8

const (
	// Request is the headers that begin a stream.
	Request Kind = iota
	// Response is the headers that answer it, Trailers-Only included.
	Response
	// Trailers is the block that ends a stream after messages.
	Trailers
)

// A BlockError is a block that breaks a rule.
type BlockError struct {
	// StreamOnly means that the compression state is intact, so only
	// the stream ends; else the connection does.
	StreamOnly bool

	// Code is for RST_STREAM or GOAWAY.
	Code status.HTTP2Code

	// TooLarge means that a limit was passed: answered with 431 by a server.
	TooLarge bool

	// Field means that HTTP/2 has no fault to find but gRPC has, in the
	// coding of one of its fields: answered with 400 by a server.
	Field bool

	// Reason says which rule. It holds no values.
	Reason string
}

// Error returns "header block: reason".
func (e *BlockError) Error() string { return "header block: " + e.Reason }

// A Decoder turns the blocks of one direction of a connection into metadata.
// Its methods are called by one goroutine.
type Decoder struct {
	hpack  *hpack.Decoder
	limits Limits

	asm   assembler
	cache map[string]*decoded // by the indexed bytes
	gen   uint32              // counts changes of the dynamic table
}

// decoded is what an all-indexed run of bytes means.
type decoded struct {
	gen  uint32
	kind Kind
	list metadata.List
	sum  summary
}

// maxCached bounds the entries of a cache. A peer that uses more methods than
// this on one connection gets the plain way for a while.
const maxCached = 128

// maxString bounds one string. It is above every list limit, since an error
// here costs the connection where a list that is too long costs a stream.
const maxString = 1 << 20

// NewDecoder returns a decoder with a dynamic table of the default size, 4096.
func NewDecoder(l Limits) *Decoder {
	d := &Decoder{limits: l, cache: map[string]*decoded{}}
	d.hpack = hpack.NewDecoder(4096, d.asm.field)
	d.hpack.SetMaxStringLength(maxString)
	return d
}

// Decode fills list from a whole block that was received at now. The list is
// empty before. The error is a *BlockError.
func (d *Decoder) Decode(block []byte, kind Kind, list *metadata.List, now time.Time) error {
	n := indexedPrefix(block)
	d.asm = assembler{list: list, kind: kind, limits: d.limits}
	if hit := d.cache[string(block[:n])]; n > 0 && hit != nil && hit.gen == d.gen && hit.kind == kind {
		list.CopyFrom(&hit.list)
		d.asm.summary = hit.sum
	} else if n > 0 {
		if err := d.write(block[:n]); err != nil {
			return err
		}
		d.remember(block[:n], kind, list)
	}
	if n < len(block) {
		rest := block[n:]
		if !keepsTable(rest) {
			d.gen++
		}
		if err := d.write(rest); err != nil {
			return err
		}
	}
	if err := d.hpack.Close(); err != nil {
		return compressionError(err)
	}
	return d.asm.finish(now)
}

func (d *Decoder) write(p []byte) error {
	if _, err := d.hpack.Write(p); err != nil {
		return compressionError(err)
	}
	return nil
}

// remember stores what an indexed run means, if it broke no rule.
func (d *Decoder) remember(run []byte, kind Kind, list *metadata.List) {
	if d.asm.err != nil {
		return
	}
	if len(d.cache) >= maxCached {
		clear(d.cache)
	}
	entry := &decoded{gen: d.gen, kind: kind, sum: d.asm.summary}
	entry.list.CopyFrom(list)
	d.cache[string(run)] = entry
}

func compressionError(err error) error {
	return &BlockError{Code: status.HTTP2CompressionError, Reason: fmt.Sprintf("HPACK: %v", err)}
}

// indexedPrefix returns how many bytes at the start of block are indexed
// fields of one byte each. RFC 7541 §6.1.
func indexedPrefix(block []byte) int {
	for i, b := range block {
		if b < 0x80 || b == 0xff { // 0xff begins an index of several bytes
			return i
		}
	}
	return len(block)
}

// keepsTable reports whether decoding p leaves the dynamic table as it is: p
// holds indexed fields and literals that are not added only. RFC 7541 §6.2.
func keepsTable(p []byte) bool {
	for len(p) > 0 {
		switch b := p[0]; {
		case b >= 0x80: // indexed
			_, p = varint(p, 7)
		case b < 0x20: // literal without indexing, or never indexed
			var index uint64
			index, p = varint(p, 4)
			if index == 0 {
				p = skipString(p)
			}
			p = skipString(p)
		default: // literal with indexing, or a new table size
			return false
		}
		if p == nil {
			return false
		}
	}
	return true
}

// varint reads an integer with an n-bit prefix and returns what follows it,
// nil if p ends early. RFC 7541 §5.1.
func varint(p []byte, n uint) (uint64, []byte) {
	if len(p) == 0 {
		return 0, nil
	}
	full := uint64(1)<<n - 1
	v := uint64(p[0]) & full
	p = p[1:]
	if v < full {
		return v, p
	}
	for shift := uint(0); len(p) > 0 && shift < 63; shift += 7 {
		b := p[0]
		p = p[1:]
		v += uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, p
		}
	}
	return 0, nil
}

// skipString returns what follows a string, nil if p ends early. RFC 7541 §5.2.
func skipString(p []byte) []byte {
	n, rest := varint(p, 7)
	if rest == nil || n > uint64(len(rest)) {
		return nil
	}
	return rest[n:]
}
