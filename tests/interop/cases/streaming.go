package cases

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// clientStreaming: many requests, one response.
func clientStreaming(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.StreamingInputCall(ctx)
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	sum := 0
	for i, e := range exchanges() {
		if err := stream.Send(&grpctestingpb.StreamingInputCallRequest{Payload: zeros(e.request)}); err != nil {
			return fmt.Errorf("StreamingInputCall: message %d: %w", i, err)
		}
		sum += e.request
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	if int(reply.GetAggregatedPayloadSize()) != sum {
		return fmt.Errorf("StreamingInputCall counted %d bytes, want %d", reply.GetAggregatedPayloadSize(), sum)
	}
	return nil
}

// serverStreaming: one request, many responses, in the order asked for.
func serverStreaming(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	want := exchanges()
	req := &grpctestingpb.StreamingOutputCallRequest{ResponseType: grpctestingpb.PayloadType_COMPRESSABLE}
	for _, e := range want {
		req.ResponseParameters = append(req.ResponseParameters, &grpctestingpb.ResponseParameters{Size: int32(e.response)})
	}
	stream, err := c.StreamingOutputCall(ctx, req)
	if err != nil {
		return fmt.Errorf("StreamingOutputCall: %w", err)
	}
	for i, e := range want {
		reply, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("StreamingOutputCall: response %d: %w", i, err)
		}
		if err := checkPayload(reply.GetPayload(), e.response); err != nil {
			return fmt.Errorf("StreamingOutputCall: response %d: %w", i, err)
		}
	}
	return wantEnd("StreamingOutputCall", stream)
}

// pingPong: each message is sent when the answer to the one before is here.
func pingPong(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	for i, e := range exchanges() {
		if err := roundTrip(stream, e); err != nil {
			return fmt.Errorf("FullDuplexCall: exchange %d: %w", i, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("FullDuplexCall: half-close: %w", err)
	}
	return wantEnd("FullDuplexCall", stream)
}

// emptyStream: a stream without a message either way.
func emptyStream(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("FullDuplexCall: half-close: %w", err)
	}
	return wantEnd("FullDuplexCall", stream)
}

// roundTrip sends one message and receives the answer to it.
func roundTrip(stream grpctestingpb.TestService_FullDuplexCallClient, e exchange) error {
	if err := stream.Send(streamingRequest(e)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	reply, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	return checkPayload(reply.GetPayload(), e.response)
}

// wantEnd receives once more and expects the end with status OK.
func wantEnd(call string, stream interface {
	Recv() (*grpctestingpb.StreamingOutputCallResponse, error)
}) error {
	reply, err := stream.Recv()
	if err == nil {
		return fmt.Errorf("%s: one more response than asked for, of %d bytes", call, len(reply.GetPayload().GetBody()))
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s ended with %w, want OK", call, err)
	}
	return nil
}
