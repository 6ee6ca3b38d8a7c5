package stress

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// unary has one message echoed.
func (c *call) unary() {
	c.method, c.job.at, c.job.count = "unary", 0, 1
	want := body(c.job.caller, 0, c.sizes[0])
	var header, trailer metadata.MD
	out, err := c.client.UnaryCall(c.ctx, &grpctestingpb.SimpleRequest{Payload: &grpctestingpb.Payload{Body: want}},
		append(c.options(), stubs.Header(&header), stubs.Trailer(&trailer))...)
	if err == nil && !bytes.Equal(out.GetPayload().GetBody(), want) {
		c.verdict.fault("%s is answered with %.60q", c, out.GetPayload().GetBody())
	}
	if n := c.finished.Load(); n != 1 {
		c.verdict.fault("%s returned (%v) and ended %d times", c, err, n)
	}
	c.verdict.metadata(c, "headers", header, err)
	c.verdict.metadata(c, "trailers", trailer, err)
	c.verdict.ended(c, err)
}

// openDownload begins a call that is answered with messages of c's sizes.
func (c *call) openDownload() (s grpctestingpb.TestService_StreamingOutputCallClient, ok bool) {
	in := &grpctestingpb.StreamingOutputCallRequest{Payload: &grpctestingpb.Payload{Body: body(c.job.caller, 0, c.sizes[0])}}
	for _, size := range c.sizes {
		in.ResponseParameters = append(in.ResponseParameters, &grpctestingpb.ResponseParameters{Size: int32(size)})
	}
	s, err := c.client.StreamingOutputCall(c.ctx, in, c.options()...)
	if err != nil {
		c.verdict.ended(c, err)
		return nil, false
	}
	c.began()
	return s, true
}

// download receives messages of sizes that it asked for.
func (c *call) download() {
	c.method = "download"
	if s, ok := c.openDownload(); ok {
		c.over(s, c.receive(s))
	}
}

// upload sends messages, and is told how much that was.
func (c *call) upload() {
	c.method = "upload"
	s, ok := stream(c, c.client.StreamingInputCall)
	if !ok {
		return
	}
	sum := 0
	all := c.send(func(p *grpctestingpb.Payload) error {
		sum += len(p.GetBody())
		return s.Send(&grpctestingpb.StreamingInputCallRequest{Payload: p})
	})
	out, err := s.CloseAndRecv()
	if got := int(out.GetAggregatedPayloadSize()); err == nil && (!all || got != sum) {
		c.verdict.fault("%s succeeded with %d bytes, sent %d, all of them: %t", c, got, sum, all)
	}
	c.over(s, err)
}

// chat sends messages and receives their echoes at the same time.
func (c *call) chat() {
	c.method = "chat"
	s, ok := stream(c, c.client.FullDuplexCall)
	if !ok {
		return
	}
	sent := make(chan bool, 1)
	go func() {
		all := c.send(func(p *grpctestingpb.Payload) error {
			return s.Send(&grpctestingpb.StreamingOutputCallRequest{Payload: p})
		})
		if all {
			_ = s.CloseSend() // what it fails with is what Recv tells
		}
		sent <- all
	}()
	if rand.IntN(3) == 0 {
		_, _ = s.Header() // asked for again, and checked, at the end
	}
	err := c.receive(s)
	if all := <-sent; !all && errors.Is(err, io.EOF) {
		c.verdict.fault("%s succeeded before all was sent", c)
	}
	c.over(s, err)
}

// abandon begins a stream and leaves it, with Close or to its deadline.
func (c *call) abandon() {
	c.method = "abandoned"
	var left stubs.ClientStream
	if rand.IntN(2) == 0 {
		s, ok := c.openDownload()
		if !ok {
			return
		}
		if rand.IntN(2) == 0 {
			c.first(s.Recv())
		}
		left = s
	} else {
		s, ok := stream(c, c.client.FullDuplexCall)
		if !ok {
			return
		}
		// It fails where the call has ended already.
		_ = s.Send(&grpctestingpb.StreamingOutputCallRequest{Payload: &grpctestingpb.Payload{Body: body(c.job.caller, 0, c.sizes[0])}})
		if rand.IntN(2) == 0 {
			c.first(s.Recv())
		}
		left = s
	}
	if rand.IntN(2) == 0 {
		_ = left.Close() // never fails
	}
}

// first checks the first message of an abandoned stream, if there is one.
func (c *call) first(out *grpctestingpb.StreamingOutputCallResponse, err error) {
	if err == nil {
		c.check(0, out)
	}
}

// receive receives and checks the messages of a stream until it ends.
func (c *call) receive(s interface {
	Recv() (*grpctestingpb.StreamingOutputCallResponse, error)
}) error {
	for n := 0; ; n++ {
		out, err := s.Recv()
		if errors.Is(err, io.EOF) && n != len(c.sizes) {
			c.verdict.fault("%s had %d messages before io.EOF, want %d", c, n, len(c.sizes))
		}
		if err != nil {
			return err
		}
		if n >= len(c.sizes) {
			c.verdict.fault("%s has a message too many", c)
			continue
		}
		c.check(n, out)
	}
}

// check tells whether a response is the n-th one.
func (c *call) check(n int, out *grpctestingpb.StreamingOutputCallResponse) {
	if got := out.GetPayload().GetBody(); !bytes.Equal(got, body(c.job.caller, n, c.sizes[n])) {
		c.verdict.fault("%s has response %d as %d bytes, %.60q", c, n, len(got), got)
	}
}
