package service

import (
	"errors"
	"io"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// maxHalfDuplex bounds the requests that HalfDuplexCall keeps before it
// answers any of them.
const maxHalfDuplex = 1024

// StreamingOutputCall answers one request with the responses it asks for.
func (s *Service) StreamingOutputCall(in *grpctestingpb.StreamingOutputCallRequest, stream grpctestingpb.TestService_StreamingOutputCallServer) error {
	if err := askedFor(in.GetResponseStatus()); err != nil {
		return err
	}
	return respond(stream, in)
}

// StreamingInputCall answers a stream of payloads with the sum of their sizes.
func (s *Service) StreamingInputCall(stream grpctestingpb.TestService_StreamingInputCallServer) error {
	sum := 0
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&grpctestingpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		if err := checkCompressed(stream.Context(), in.GetExpectCompressed()); err != nil {
			return err
		}
		sum += len(in.GetPayload().GetBody())
	}
}

// FullDuplexCall answers each request as it comes.
func (s *Service) FullDuplexCall(stream grpctestingpb.TestService_FullDuplexCallServer) error {
	initial, trailing := echoed(stream.Context())
	if initial != nil {
		if err := stream.SetHeader(initial); err != nil {
			return err
		}
	}
	stream.SetTrailer(trailing)
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := askedFor(in.GetResponseStatus()); err != nil {
			return err
		}
		if err := respond(stream, in); err != nil {
			return err
		}
	}
}

// HalfDuplexCall collects all requests and then answers them in order.
func (s *Service) HalfDuplexCall(stream grpctestingpb.TestService_HalfDuplexCallServer) error {
	var requests []*grpctestingpb.StreamingOutputCallRequest
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(requests) == maxHalfDuplex {
			return status.Errorf(status.ResourceExhausted, "more than %d requests before the half-close", maxHalfDuplex)
		}
		in.Payload = nil // what it was sent with is not needed, and may be large
		requests = append(requests, in)
	}
	for _, in := range requests {
		if err := askedFor(in.GetResponseStatus()); err != nil {
			return err
		}
		if err := respond(stream, in); err != nil {
			return err
		}
	}
	return nil
}
