package cases

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// emptyUnary: messages of zero bytes travel.
func emptyUnary(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	reply, err := c.EmptyCall(ctx, &grpctestingpb.Empty{})
	if err != nil {
		return fmt.Errorf("EmptyCall: %w", err)
	}
	if !proto.Equal(reply, &grpctestingpb.Empty{}) {
		return fmt.Errorf("EmptyCall answered %v, want an empty message", reply)
	}
	return nil
}

// largeUnary: one request and one response that take many frames each.
func largeUnary(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	reply, err := c.UnaryCall(ctx, &grpctestingpb.SimpleRequest{
		ResponseType: grpctestingpb.PayloadType_COMPRESSABLE,
		ResponseSize: largeResponse,
		Payload:      zeros(largeRequest),
	})
	if err != nil {
		return fmt.Errorf("UnaryCall: %w", err)
	}
	if err := checkPayload(reply.GetPayload(), largeResponse); err != nil {
		return fmt.Errorf("UnaryCall: %w", err)
	}
	return nil
}
