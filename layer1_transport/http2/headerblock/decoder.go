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
	// their size says. A value that was joined from several counts for each.
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
	cache runCache
	key   []byte // memory for one key of cache

	table table
}

// A table is how large the dynamic table may be and is.
type table struct {
	most  uint32 // what SETTINGS_HEADER_TABLE_SIZE says, or will
	told  bool   // the peer has acknowledged it
	bytes uint64 // what the peer's last size update says
}

// tableSize is the dynamic table that a peer may use before it is told
// otherwise: the default of SETTINGS_HEADER_TABLE_SIZE. RFC 9113 §6.5.2.
const tableSize = 4096

// NewDecoder returns a decoder with a dynamic table of the default size.
//
// Strings have no limit of their own. A block is in memory as a whole before
// it is decoded, so that none is longer than Huffman coding makes of it, less
// than twice its length; and an error about a string would cost the connection
// where a list that is too long costs a stream.
func NewDecoder(l Limits) *Decoder {
	d := &Decoder{limits: l, table: table{most: tableSize, bytes: tableSize}}
	d.hpack = hpack.NewDecoder(tableSize, d.field)
	return d
}

// AllowTable lets the peer use a dynamic table of n bytes, as it will be told by
// SETTINGS_HEADER_TABLE_SIZE. It is called before the first block.
func (d *Decoder) AllowTable(n uint32) {
	d.table.most = n
	d.hpack.SetAllowedMaxDynamicTableSize(max(n, tableSize))
}

// TableAcknowledged says that the peer has taken what AllowTable allows: where
// that is less than it uses, its next block must begin with a size update.
func (d *Decoder) TableAcknowledged() {
	d.table.told = true
	d.hpack.SetAllowedMaxDynamicTableSize(d.table.most)
}

// field takes a field from HPACK. After the first fault the values of further
// ones are not even decoded, unless they go into the table.
func (d *Decoder) field(f hpack.HeaderField) {
	d.asm.field(f)
	if d.asm.err != nil {
		d.hpack.SetEmitEnabled(false)
	}
}

// Decode fills list from a whole block that was received at now. The list is
// empty before. The error is a *BlockError; with one, what is in list has no
// meaning.
func (d *Decoder) Decode(block []byte, kind Kind, list *metadata.List, now time.Time) error {
	d.asm = assembler{list: list, kind: kind, limits: d.limits}
	d.hpack.SetEmitEnabled(true)
	err := d.decode(block, kind)
	if err == nil {
		err = d.asm.finish(now)
	}
	d.asm.list = nil // it is the caller's again
	return err
}

// decode brings the table in step with the peer's and gives the fields to the
// assembler. Its errors are those of the connection.
func (d *Decoder) decode(block []byte, kind Kind) error {
	rest, err := d.sizeUpdates(block)
	if err != nil {
		return err
	}
	if d.table.told && d.table.bytes > uint64(d.table.most) { // RFC 9113 §4.3.1
		return compressionError("no table size update after the acknowledgement of SETTINGS_HEADER_TABLE_SIZE")
	}
	h, rest := cutHead(rest, kind)
	if h.some() && len(rest) > 0 && isSizeUpdate(rest[0]) {
		// Found here, since a hit would hide the fields before it from HPACK.
		return compressionError("a table size update behind a field") // RFC 7541 §4.2
	}
	keeps := keepsTable(rest)
	key := h.key(d.key[:0])
	d.key = key[:0]
	if hit := d.cache.get(key, kind); hit != nil {
		d.asm.list.CopyFrom(&hit.list)
		d.asm.summary = hit.sum
		d.asm.ownTimeout(h)
	} else if err := d.miss(h, key, kind, keeps); err != nil {
		return err
	}
	if !keeps {
		d.cache.forget()
	}
	if err := d.write(rest); err != nil {
		return err
	}
	return d.closeBlock()
}

// miss decodes the head of a block, and remembers it if what follows it keeps
// the table as it is. The timeout is never part of what is remembered.
func (d *Decoder) miss(h head, key []byte, kind Kind, keeps bool) error {
	if err := d.write(h.run); err != nil {
		return err
	}
	before := d.asm.summary
	d.asm.ownTimeout(h)
	if len(h.after) > 0 {
		size, fields := d.asm.size-before.size, d.asm.fields-before.fields
		if err := d.write(h.after); err != nil {
			return err
		}
		before = d.asm.summary
		before.size, before.fields = before.size-size, before.fields-fields
	}
	if len(key) > 0 && keeps && d.asm.err == nil {
		d.cache.put(key, kind, d.asm.list, before)
	}
	return nil
}

// maxSizeUpdates is how many size updates a block can begin with: the smallest
// size since the last block, and the present one. RFC 7541 §4.2.
const maxSizeUpdates = 2

// sizeUpdates applies the size updates at the start of block and returns what
// follows. Each is given to HPACK as a block of its own, because hpack.Decoder
// refuses the second of two that stand together.
func (d *Decoder) sizeUpdates(block []byte) ([]byte, error) {
	for i := 0; len(block) > 0 && isSizeUpdate(block[0]); i++ {
		if i == maxSizeUpdates {
			return nil, compressionError("more than %d table size updates", maxSizeUpdates)
		}
		d.cache.forget()
		size, rest := varint(block, 5)
		if err := d.write(block[:len(block)-len(rest)]); err != nil {
			return nil, err
		}
		if err := d.closeBlock(); err != nil {
			return nil, err
		}
		d.table.bytes, block = size, rest
	}
	return block, nil
}

func (d *Decoder) write(p []byte) error {
	if _, err := d.hpack.Write(p); err != nil {
		return compressionError("HPACK: %v", err)
	}
	return nil
}

func (d *Decoder) closeBlock() error {
	if err := d.hpack.Close(); err != nil {
		return compressionError("HPACK: %v", err)
	}
	return nil
}

// compressionError is a block after which the tables of the two ends differ.
// RFC 9113 §4.3 has it end the connection.
func compressionError(format string, args ...any) error {
	return &BlockError{Code: status.HTTP2CompressionError, Reason: fmt.Sprintf(format, args...)}
}
