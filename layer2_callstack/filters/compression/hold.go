package compression

import transport "github.com/strata-grpc/strata/layer1_transport"

// A message may be started before the headers, which say how it is coded. It
// then waits here, and so does what is started behind it, such as the
// half-close, since nothing may overtake it.
//
//	unknown ──message──▶ holding ──headers──▶ known
//	   │ │                   └─────end──────▶ over
//	   │ └─────────────end────────────────────▲
//	   └───────────────headers──────────────▶ known
//
// A call that has ended has nobody any more who would send headers, so
// what is held goes down as it is and fails there, and what comes later too.
const (
	stateUnknown uint32 = iota // headers have not been sent
	stateHolding               // the same, and held is not empty, or is being emptied
	stateKnown                 // they have, and send is valid
	stateOver                  // the call has ended without them
)

// hold keeps b if it has to wait. It reports false if it need not.
func (c *call) hold(b *transport.StreamOpBatch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.Ops.Has(transport.OpSendMessage) {
		c.state.CompareAndSwap(stateUnknown, stateHolding)
	}
	if c.state.Load() != stateHolding {
		return false
	}
	c.held = append(c.held, b)
	return true
}

// release lets what is held go, because the headers are next. They go down
// behind it, as one batch may hold them and the end of the call; the transport
// sends them first.
func (c *call) release() {
	if c.state.CompareAndSwap(stateUnknown, stateKnown) {
		return
	}
	c.empty(stateKnown, c.compressHeld)
}

func (c *call) compressHeld(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendMessage) {
		c.compress(b)
	}
}

// dropHeld lets what is held go, because the call has ended.
func (c *call) dropHeld() {
	if c.state.Load() == stateKnown {
		return // as nearly always
	}
	if !c.state.CompareAndSwap(stateUnknown, stateOver) && c.state.Load() == stateHolding {
		c.empty(stateOver, func(*transport.StreamOpBatch) {})
	}
}

// empty passes on what is held, after prepare, in order. The state changes
// when nothing is left: until then whatever comes waits in the queue.
func (c *call) empty(next uint32, prepare func(*transport.StreamOpBatch)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.held) > 0 {
		b := c.held[0]
		c.held = c.held[1:]
		c.mu.Unlock()
		prepare(b)
		c.Next.StartBatch(b)
		c.mu.Lock()
	}
	c.held = nil
	if c.state.Load() == stateHolding {
		c.state.Store(next)
	}
}
