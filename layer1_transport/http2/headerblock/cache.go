package headerblock

import "github.com/strata-grpc/strata/layer1_transport/metadata"

// A runCache remembers what runs of indexed fields mean while the dynamic
// table stays as it is.
//
// Invariant: cost <= maxCacheCost, and every entry was made from the table as
// it is now.
type runCache struct {
	entries map[string]*decoded // by the bytes of the run
	cost    int
}

// decoded is what a run of indexed fields means.
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

// get returns what run means as a block of that kind, nil if that is unknown.
func (c *runCache) get(run []byte, kind Kind) *decoded {
	if len(run) == 0 {
		return nil
	}
	if hit := c.entries[string(run)]; hit != nil && hit.kind == kind {
		return hit
	}
	return nil
}

// put remembers run. A cache that is full starts over: that is simpler than to
// find what to drop, and right for the peer that has few methods.
func (c *runCache) put(run []byte, kind Kind, list *metadata.List, sum summary) {
	cost := entryCost + len(run) + sum.size
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
	c.entries[string(run)] = entry
	c.cost += cost
}

// forget drops everything, because the table changes.
func (c *runCache) forget() {
	if c.cost > 0 {
		clear(c.entries)
		c.cost = 0
	}
}
