package cases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// cancelAfterBegin: a call is cancelled before its first message.
func cancelAfterBegin(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.StreamingInputCall(ctx)
	if err != nil {
		return fmt.Errorf("StreamingInputCall: %w", err)
	}
	cancel()
	_, err = stream.CloseAndRecv()
	return checkCode("StreamingInputCall", err, status.Canceled)
}

// cancelAfterFirstResponse: a call is cancelled while both sides are open.
func cancelAfterFirstResponse(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	if err := roundTrip(stream, exchanges()[0]); err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	cancel()
	_, err = stream.Recv()
	return checkCode("FullDuplexCall", err, status.Canceled)
}

// timeoutOnSleepingServer: the deadline passes while the server waits for
// another message. It may pass as early as in the call's creation.
func timeoutOnSleepingServer(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return checkCode("FullDuplexCall", err, status.DeadlineExceeded)
	}
	err = stream.Send(&grpctestingpb.StreamingOutputCallRequest{
		ResponseType: grpctestingpb.PayloadType_COMPRESSABLE,
		Payload:      zeros(exchanges()[0].request),
	})
	// A stream that is over already reports io.EOF here and its status below.
	if err != nil && !errors.Is(err, io.EOF) {
		return checkCode("FullDuplexCall", err, status.DeadlineExceeded)
	}
	_, err = stream.Recv()
	return checkCode("FullDuplexCall", err, status.DeadlineExceeded)
}
