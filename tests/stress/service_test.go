package stress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// longNap bounds the time that handlers sleep.
const longNap = 50 * time.Millisecond

// A service is grpc.testing.TestService as the callers' jobs want it.
type service struct {
	grpctestingpb.UnimplementedTestServiceServer
	verdict *verdict
	running atomic.Int64 // handlers
}

// begin reads the job of a call and sets its headers and trailers. The caller
// defers the function that it returns.
func (s *service) begin(ctx context.Context) (job, func()) {
	s.running.Add(1)
	j, err := jobOf(ctx)
	if err != nil {
		s.verdict.fault("a handler has no job: %v", err)
	}
	// These fail where the call has ended already, which is as it should be.
	_ = stubs.SetHeader(ctx, metadata.Pairs(keyCaller, j.caller))
	_ = stubs.SetTrailer(ctx, metadata.Pairs(keyCaller, j.caller))
	return j, func() { s.running.Add(-1) }
}

// act does what j wants done.
func (s *service) act(ctx context.Context, j job) error {
	nap := rand.N(longNap)
	switch j.do {
	case panics:
		panic("stress: as " + j.caller + " wishes")
	case exits:
		runtime.Goexit()
	case refuses:
		return status.Error(status.NotFound, j.caller)
	case errs:
		return errors.New(j.caller)
	case disowns:
		return status.Error(status.Unimplemented, j.caller)
	case naps:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(nap):
		}
	case oversleeps:
		time.Sleep(nap)
	case delaysHeaders:
		time.Sleep(nap / 4)
		_ = stubs.SendHeader(ctx, metadata.Pairs("late", "1")) // the call may be over
	case sendsHeaders:
		_ = stubs.SendHeader(ctx, metadata.Pairs("early", "1")) // the call may be over
	}
	return nil
}

// check tells whether a message of a caller is the n-th one that it sent.
func (s *service) check(j job, n int, got []byte) {
	if want := body(j.caller, n, max(0, len(got)-len(body(j.caller, n, 0)))); !bytes.Equal(got, want) {
		s.verdict.fault("the handler of %s has request %d as %.60q", j.caller, n, got)
	}
}

// UnaryCall answers with the payload of the request.
func (s *service) UnaryCall(ctx context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	j, end := s.begin(ctx)
	defer end()
	s.check(j, 0, in.GetPayload().GetBody())
	if err := s.act(ctx, j); err != nil {
		return nil, err
	}
	if j.do == serves && rand.IntN(8) == 0 {
		go func() { _ = stubs.SendHeader(ctx, metadata.Pairs("stray", "1")) }() // races with the response
	}
	return &grpctestingpb.SimpleResponse{Payload: in.GetPayload()}, nil
}

// StreamingOutputCall answers with messages of the sizes that are asked for.
func (s *service) StreamingOutputCall(in *grpctestingpb.StreamingOutputCallRequest, stream grpctestingpb.TestService_StreamingOutputCallServer) error {
	j, end := s.begin(stream.Context())
	defer end()
	s.check(j, 0, in.GetPayload().GetBody())
	for n, p := range in.GetResponseParameters() {
		if n == j.at {
			if err := s.act(stream.Context(), j); err != nil {
				return err
			}
		}
		if err := stream.Send(response(body(j.caller, n, int(p.GetSize())))); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall answers with the sum of the sizes of what it received.
func (s *service) StreamingInputCall(stream grpctestingpb.TestService_StreamingInputCallServer) error {
	j, end := s.begin(stream.Context())
	defer end()
	sum := 0
	err := s.receive(stream, j, func(b []byte) error {
		sum += len(b)
		return nil
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&grpctestingpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
}

// FullDuplexCall answers each message with its payload.
func (s *service) FullDuplexCall(stream grpctestingpb.TestService_FullDuplexCallServer) error {
	j, end := s.begin(stream.Context())
	defer end()
	return s.receive(duplex{stream}, j, func(b []byte) error { return stream.Send(response(b)) })
}

// A source is the receiving end of a stream.
type source[T any] interface {
	Context() context.Context
	Recv() (T, error)
}

// duplex makes a full-duplex stream a source of what an upload receives.
type duplex struct {
	grpctestingpb.TestService_FullDuplexCallServer
}

// Recv returns the next message.
func (d duplex) Recv() (*grpctestingpb.StreamingInputCallRequest, error) {
	in, err := d.TestService_FullDuplexCallServer.Recv()
	return &grpctestingpb.StreamingInputCallRequest{Payload: in.GetPayload()}, err
}

// receive gives each message of a stream to f, until there are no more. That
// is only so when the caller has sent all that it meant to.
func (s *service) receive(stream source[*grpctestingpb.StreamingInputCallRequest], j job, f func([]byte) error) error {
	for n := 0; ; n++ {
		if n == j.at {
			if err := s.act(stream.Context(), j); err != nil {
				return err
			}
		}
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if n != j.count {
				s.verdict.fault("the handler of %s had %d messages before io.EOF, want %d", j.caller, n, j.count)
			}
			return nil
		}
		if err != nil {
			return err
		}
		s.check(j, n, in.GetPayload().GetBody())
		if err := f(in.GetPayload().GetBody()); err != nil {
			return err
		}
	}
}

// response wraps a body.
func response(b []byte) *grpctestingpb.StreamingOutputCallResponse {
	return &grpctestingpb.StreamingOutputCallResponse{Payload: &grpctestingpb.Payload{Body: b}}
}
