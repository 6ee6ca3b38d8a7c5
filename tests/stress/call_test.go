package stress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// maxMessages bounds the messages of one direction of a call.
const maxMessages = 20

// A call is one call, from its caller's point of view.
type call struct {
	verdict *verdict
	channel *channel
	client  grpctestingpb.TestServiceClient
	method  string // for reports
	job     job
	sizes   []int // of the messages of a stream

	ctx    context.Context
	cancel context.CancelFunc
	start  time.Time
	limit  time.Duration // from start to the deadline

	finished atomic.Int32  // times that OnFinish was told
	end      chan struct{} // closed by OnFinish
}

// newCall draws a call. A quarter of all calls have hardly any time, and a
// third is cancelled half-way.
func newCall(v *verdict, ch *channel, caller string) *call {
	c := &call{
		verdict: v, channel: ch, client: grpctestingpb.NewTestServiceClient(ch),
		end: make(chan struct{}), limit: rand.N(30 * time.Millisecond),
	}
	if rand.IntN(4) > 0 {
		c.limit += 300 * time.Millisecond
	}
	for range 1 + rand.IntN(maxMessages) {
		c.sizes = append(c.sizes, anySize())
	}
	c.job = job{caller: caller, do: anyDeed(), at: rand.IntN(len(c.sizes)), count: len(c.sizes)}
	c.start = time.Now()
	c.ctx, c.cancel = context.WithTimeout(c.job.with(context.Background()), c.limit)
	if rand.IntN(3) == 0 {
		time.AfterFunc(c.limit/2, c.cancel)
	}
	return c
}

// String names the call in reports.
func (c *call) String() string {
	return fmt.Sprintf("%s of %s (deed %d before message %d of %d)", c.method, c.job.caller, c.job.do, c.job.at, c.job.count)
}

// options returns what every call is made with.
func (c *call) options() []stubs.CallOption {
	return []stubs.CallOption{stubs.WaitForReady(rand.IntN(2) == 0), stubs.OnFinish(func(error) {
		if c.finished.Add(1) > 1 {
			c.verdict.fault("%s ended twice", c)
			return
		}
		close(c.end)
	})}
}

// began notes that the call has begun, and so will end.
func (c *call) began() {
	c.verdict.open.Go(func() { <-c.end })
}

// run makes the call, as one of the kinds. A tenth of the contexts are left to
// their deadlines.
func (c *call) run() {
	switch rand.IntN(6) {
	case 0, 1:
		c.unary()
	case 2:
		c.download()
	case 3:
		c.upload()
	case 4:
		c.chat()
	case 5:
		c.abandon()
	}
	c.verdict.returned(c)
	if rand.IntN(10) > 0 {
		c.cancel()
	}
}

// stream begins an upload or a chat. It is nil if that failed.
func stream[S any](c *call, begin func(context.Context, ...stubs.CallOption) (S, error)) (s S, ok bool) {
	s, err := begin(c.ctx, c.options()...)
	if err != nil {
		c.verdict.ended(c, err)
		return s, false
	}
	c.began()
	return s, true
}

// send sends the messages of a stream, and reports whether all have gone out.
// The end of the call is io.EOF to whoever sends.
func (c *call) send(send func(payload *grpctestingpb.Payload) error) bool {
	for n, size := range c.sizes {
		err := send(&grpctestingpb.Payload{Body: body(c.job.caller, n, size)})
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			c.verdict.fault("%s: sending message %d: %v, want io.EOF at the end of the call", c, n, err)
			return false
		}
	}
	return true
}

// over judges the end of a stream.
func (c *call) over(s stubs.ClientStream, err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	header, headerErr := s.Header()
	if err == nil && headerErr != nil {
		c.verdict.fault("%s succeeded, and its headers are %v", c, headerErr)
	}
	c.verdict.metadata(c, "headers", header, err)
	c.verdict.metadata(c, "trailers", s.Trailer(), err)
	c.verdict.ended(c, err)
}
