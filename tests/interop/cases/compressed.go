package cases

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// boolean returns the message of a flag that may be missing.
func boolean(v bool) *grpctestingpb.BoolValue { return &grpctestingpb.BoolValue{Value: v} }

// coding returns the option that makes a call compress its messages or not.
func coding(compressed bool) stubs.CallOption {
	if compressed {
		return stubs.UseCompressor("gzip")
	}
	return stubs.UseCompressor("identity")
}

// clientCompressedUnary: a server that can tell how a request came, which the
// first call finds out, reads it either way.
func clientCompressedUnary(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	for i, tc := range []struct {
		says, compressed bool
		want             status.Code
	}{{true, false, status.InvalidArgument}, {true, true, status.OK}, {false, false, status.OK}} {
		reply, err := c.UnaryCall(ctx, &grpctestingpb.SimpleRequest{
			ResponseType:     grpctestingpb.PayloadType_COMPRESSABLE,
			ResponseSize:     largeResponse,
			Payload:          zeros(largeRequest),
			ExpectCompressed: boolean(tc.says),
		}, coding(tc.compressed))
		if err := checkCode(fmt.Sprintf("UnaryCall %d", i), err, tc.want); err != nil {
			return err
		}
		if tc.want != status.OK {
			continue
		}
		if err := checkPayload(reply.GetPayload(), largeResponse); err != nil {
			return fmt.Errorf("UnaryCall %d: %w", i, err)
		}
	}
	return nil
}

// serverCompressedUnary: the response comes as the request asks for it.
func serverCompressedUnary(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	for _, want := range []bool{true, false} {
		compressed := !want
		reply, err := c.UnaryCall(ctx, &grpctestingpb.SimpleRequest{
			ResponseType:       grpctestingpb.PayloadType_COMPRESSABLE,
			ResponseSize:       largeResponse,
			Payload:            zeros(largeRequest),
			ResponseCompressed: boolean(want),
		}, stubs.ResponseCompressed(&compressed))
		if err != nil {
			return fmt.Errorf("UnaryCall: %w", err)
		}
		if compressed != want {
			return fmt.Errorf("UnaryCall: the response came compressed: %v, want %v", compressed, want)
		}
		if err := checkPayload(reply.GetPayload(), largeResponse); err != nil {
			return fmt.Errorf("UnaryCall: %w", err)
		}
	}
	return nil
}

// The messages of clientCompressedStreaming.
const (
	compressedRequest   = 27182
	uncompressedRequest = 45904
)

// clientCompressedStreaming: after the same probe, a compressed message and a
// plain one on one stream.
func clientCompressedStreaming(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	probe, err := c.StreamingInputCall(ctx)
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	err = probe.Send(&grpctestingpb.StreamingInputCallRequest{Payload: zeros(compressedRequest), ExpectCompressed: boolean(true)})
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("StreamingInputCall: the probe: %w", err)
	}
	_, err = probe.CloseAndRecv()
	if err := checkCode("StreamingInputCall with a probe", err, status.InvalidArgument); err != nil {
		return err
	}
	stream, err := c.StreamingInputCall(ctx, coding(true))
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	for _, m := range []proto.Message{
		&grpctestingpb.StreamingInputCallRequest{Payload: zeros(compressedRequest), ExpectCompressed: boolean(true)},
		stubs.Uncompressed(&grpctestingpb.StreamingInputCallRequest{Payload: zeros(uncompressedRequest), ExpectCompressed: boolean(false)}),
	} {
		if err := stream.SendMsg(m); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("StreamingInputCall: %w", err)
		}
	}
	reply, err := stream.CloseAndRecv()
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	if got := int(reply.GetAggregatedPayloadSize()); got != compressedRequest+uncompressedRequest {
		return fmt.Errorf("StreamingInputCall counted %d bytes, want %d", got, compressedRequest+uncompressedRequest)
	}
	return nil
}

// serverCompressedStreaming: a compressed response and a plain one.
func serverCompressedStreaming(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	want := []*grpctestingpb.ResponseParameters{
		{Size: 31415, Compressed: boolean(true)}, {Size: 92653, Compressed: boolean(false)},
	}
	var compressed bool
	stream, err := c.StreamingOutputCall(ctx, &grpctestingpb.StreamingOutputCallRequest{
		ResponseType: grpctestingpb.PayloadType_COMPRESSABLE, ResponseParameters: want,
	}, stubs.ResponseCompressed(&compressed))
	if err != nil {
		return fmt.Errorf("StreamingOutputCall: %w", err)
	}
	for i, p := range want {
		reply, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("StreamingOutputCall: response %d: %w", i, err)
		}
		if compressed != p.GetCompressed().GetValue() {
			return fmt.Errorf("StreamingOutputCall: response %d came compressed: %v, want %v", i, compressed, p.GetCompressed().GetValue())
		}
		if err := checkPayload(reply.GetPayload(), int(p.GetSize())); err != nil {
			return fmt.Errorf("StreamingOutputCall: response %d: %w", i, err)
		}
	}
	return wantEnd("StreamingOutputCall", stream)
}
