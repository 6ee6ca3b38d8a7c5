package headerblock

import (
	"bytes"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// A head is how far a block can be looked up: a run of indexed fields, and in a
// request perhaps a grpc-timeout in the form in which our encoder writes it,
// with another run after it. The timeout is read here, because HPACK would
// allocate name and value: BenchmarkDecodeCached has two allocations less and
// takes half the time by it.
type head struct {
	run, after []byte
	timeout    int // length of the value; 0 if there is none
	left       time.Duration
}

// some reports whether the head has any field.
func (h *head) some() bool { return len(h.run) > 0 || h.timeout > 0 }

// cutHead returns the head of p and what follows it.
func cutHead(p []byte, kind Kind) (head, []byte) {
	n := indexedPrefix(p)
	h, rest := head{run: p[:n]}, p[n:]
	if kind != Request || !bytes.HasPrefix(rest, timeoutName) {
		return h, rest
	}
	value := rest[len(timeoutName):]
	if len(value) == 0 || value[0] >= 0x80 || int(value[0]) >= len(value) { // 0x80 is Huffman code
		return h, rest
	}
	value, after := value[1:1+value[0]], value[1+value[0]:]
	left, err := coding.ParseTimeout(string(value))
	if err != nil {
		return h, rest // there are several errors, and the assembler knows which
	}
	h.timeout, h.left = len(value), left
	n = indexedPrefix(after)
	h.after = after[:n]
	return h, after[n:]
}

// afterTimeout stands in a key for the timeout between two runs. No indexed
// field begins with it.
const afterTimeout = 0

// key appends what the head is remembered by: its bytes without the timeout,
// of which only the place counts, since pseudo-header fields may not follow it.
func (h *head) key(dst []byte) []byte {
	dst = append(dst, h.run...)
	if len(h.after) > 0 {
		dst = append(append(dst, afterTimeout), h.after...)
	}
	return dst
}

// ownTimeout takes the timeout of a head, if it has one.
func (a *assembler) ownTimeout(h head) {
	if h.timeout == 0 || a.err != nil {
		return
	}
	a.size += len("grpc-timeout") + h.timeout + 32
	if a.count(1) {
		a.regular = true
		a.seen |= seenTimeout
		a.timeout = h.left
	}
}

// A runCache remembers what heads of blocks mean while the dynamic table stays
// as it is.
//
// Invariant: cost <= maxCacheCost, and every entry was made from the table as
// it is now.
type runCache struct {
	entries map[string]*decoded // by head.key
	cost    int
}

// decoded is what a head means without its timeout.
type decoded struct {
	kind Kind
	list metadata.List
	sum  summary
}

// maxCacheCost bounds the memory that a peer can claim with many different
// blocks, entryCost is what an entry takes beside its fields. A method costs
// about 1 KiB, so this is room for some sixty on one connection.
const (
	maxCacheCost = 64 << 10
	entryCost    = 512
)

// get returns what is remembered by key for a block of that kind, nil for nothing.
func (c *runCache) get(key []byte, kind Kind) *decoded {
	if len(key) == 0 {
		return nil
	}
	if hit := c.entries[string(key)]; hit != nil && hit.kind == kind {
		return hit
	}
	return nil
}

// put remembers a head. A cache that is full starts over: that is simpler than to
// find what to drop, and right for the peer that has few methods.
func (c *runCache) put(key []byte, kind Kind, list *metadata.List, sum summary) {
	cost := entryCost + len(key) + sum.size
	if cost > maxCacheCost/4 {
		return
	}
	if c.cost+cost > maxCacheCost {
		c.forget()
	}
	if c.entries == nil {
		c.entries = map[string]*decoded{}
	}
	entry := &decoded{kind: kind, sum: sum}
	entry.list.CopyFrom(list)
	c.entries[string(key)] = entry
	c.cost += cost
}

// forget drops everything, because the table changes.
func (c *runCache) forget() {
	if c.cost > 0 {
		clear(c.entries)
		c.cost = 0
	}
}
