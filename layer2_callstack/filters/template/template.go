// Package template is a filter to copy: it works, and its comments say what each
// part is for. Package filters says how filters work; begin there. What it does is
// little: it adds a field to the metadata that is sent, and counts the calls that
// ended with an error.
//
// To make your own: copy this folder, rename package, Name and Config, and take out
// what you do not need. A filter without options and without a count is shorter:
// [callstack.NewFilter].
//
// # Contract
//
//   - send_initial_metadata: the field is appended. On a client these are the
//     headers of the request, on a server those of the response.
//   - recv_trailing_metadata: a call that ends with an error, or on a client with
//     another status than OK, is counted.
//   - Everything else passes.
//   - Not here: what a filter would do that others may expect of it.
//
// # Goroutines
//
// None. A filter that starts some says here by whom and when each ends.
//
// # Locks
//
// None. A filter that has some says here what each guards.
package template

import (
	"fmt"
	"sync/atomic"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter: other filters place themselves by it, and traces
// and errors have it. It must be the only one of its name in a stack.
const Name = "template"

// Config says what the filter does.
type Config struct {
	// Key and Value are the field. The key is in lower case, and not one that
	// gRPC or HTTP/2 use themselves. The value is printable ASCII, or any bytes if
	// the key ends in "-bin".
	Key, Value string
}

// Validate returns what is wrong with c, nil if nothing is. It quotes the option,
// its value unless that may be a secret, and what values there may be, for it is all
// that a user reads.
func (c Config) Validate() error {
	switch {
	case !coding.ValidMetadataKey(c.Key):
		return fmt.Errorf("option Key is %q, want one or more of 0-9, a-z, hyphen, underscore and dot", c.Key)
	case coding.IsReserved(c.Key):
		return fmt.Errorf("option Key is %q, which gRPC or HTTP/2 uses itself, want another", c.Key)
	case !coding.IsBin(c.Key) && !coding.ValidMetadataValue(c.Value):
		return fmt.Errorf("option Value of key %q has a byte outside 0x20 to 0x7e; keys that end in -bin take any", c.Key)
	}
	return nil
}

// A Filter is the filter. One value serves all connections of a channel or server,
// so what they are to share lives here, such as a count or a limit.
type Filter struct {
	cfg Config // set by New, read-only afterwards

	failed atomic.Int64 // calls of all connections run at the same time
}

// New returns the filter. It does not fail: Validate is asked when the channel or
// server is made.
func New(cfg Config) *Filter { return &Filter{cfg: cfg} }

// Name returns "template".
func (f *Filter) Name() string { return Name }

// Validate makes the filter a [callstack.Validator].
func (f *Filter) Validate() error { return f.cfg.Validate() }

// Failed returns how many calls have ended with an error.
func (f *Filter) Failed() int { return int(f.failed.Load()) }

// NewChannel returns the part of one stack. args has the connection, if the stack
// stands above one, and the logger. An error fails that connection.
func (f *Filter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &channel{callstack.ChannelBase{Next: next}, f}, nil
}

// A channel is the filter's part of one stack: what belongs to one connection.
// ChannelBase has the methods that it does not need.
type channel struct {
	callstack.ChannelBase
	filter *Filter
}

// NewCall returns the part of one call block. It is called a few times only, as a
// block is used for one call after another.
func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, filter: ch.filter}
}

// A call is the filter's part of one call. It allocates nothing while a call runs:
// whatever it needs is a field.
type call struct {
	callstack.CallBase
	filter *Filter

	// Set by Init, read-only until Reset.
	server bool

	// For callbacks, which run one after another. What an element remembers of
	// one operation stands apart from what it remembers of another, since batches
	// come down at the same time.
	trailers     *transport.RecvTrailingMetadata
	trailersDone transport.Done
}

// Init begins a call. An error, a [transport.Error] as everywhere, would end it at once.
func (c *call) Init(args *callstack.CallArgs) error {
	c.server = args.Accepted != nil
	return nil
}

// StartBatch is the way down. Whatever it finds, it passes the batch on.
func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append(c.filter.cfg.Key, c.filter.cfg.Value)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		// What is received is not there yet. Keep the callback, and be called in
		// its place.
		c.trailers, c.trailersDone = &b.RecvTrailingMetadata, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
	c.Next.StartBatch(b)
}

// onTrailers is a call as the callback of recv_trailing_metadata. A type for each
// callback, over the same memory, so that none is allocated.
type onTrailers call

// Run is the way up. It ends with the callback that it stands in for, which is
// run once; b and what it has may be gone after that.
func (c *onTrailers) Run(err error) {
	md := c.trailers.MD
	if err != nil || !c.server && md.Status != uint32(status.OK) {
		c.filter.failed.Add(1)
	}
	c.trailersDone.Run(err)
}

// Reset forgets the call, as the next one in this block may be somebody else's.
func (c *call) Reset() {
	c.server, c.trailers, c.trailersDone = false, nil, nil
}
