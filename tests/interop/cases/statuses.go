package cases

import (
	"context"
	"fmt"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// specialMessage holds what grpc-message must percent-encode.
const specialMessage = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

// statusCodeAndMessage: the status that was asked for comes back, from unary
// calls and from streams.
func statusCodeAndMessage(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	want := &grpctestingpb.EchoStatus{Code: int32(status.Unknown), Message: "test status message"}
	if err := unaryStatus(ctx, c, want); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	if err := stream.Send(&grpctestingpb.StreamingOutputCallRequest{ResponseStatus: want}); err != nil {
		return fmt.Errorf("FullDuplexCall: send: %w", err)
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("FullDuplexCall: half-close: %w", err)
	}
	_, err = stream.Recv()
	return checkStatus("FullDuplexCall", err, want)
}

// specialStatusMessage: a message survives whatever characters it has.
func specialStatusMessage(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	return unaryStatus(ctx, c, &grpctestingpb.EchoStatus{Code: int32(status.Unknown), Message: specialMessage})
}

// unimplementedMethod: the service is known, the method is not.
func unimplementedMethod(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	_, err := c.UnimplementedCall(ctx, &grpctestingpb.Empty{})
	return checkCode("UnimplementedCall", err, status.Unimplemented)
}

// unimplementedService: the service is unknown.
func unimplementedService(ctx context.Context, cc stubs.ClientConnInterface) error {
	_, err := grpctestingpb.NewUnimplementedServiceClient(cc).UnimplementedCall(ctx, &grpctestingpb.Empty{})
	return checkCode("UnimplementedService/UnimplementedCall", err, status.Unimplemented)
}

// unaryStatus asks for a status in a unary call and checks that it comes.
func unaryStatus(ctx context.Context, c grpctestingpb.TestServiceClient, want *grpctestingpb.EchoStatus) error {
	_, err := c.UnaryCall(ctx, &grpctestingpb.SimpleRequest{ResponseStatus: want})
	return checkStatus("UnaryCall", err, want)
}

// checkStatus says how a call's status differs from the one it asked for.
func checkStatus(call string, err error, want *grpctestingpb.EchoStatus) error {
	if err := checkCode(call, err, status.Code(want.GetCode())); err != nil {
		return err
	}
	if got := status.Convert(err).Message(); got != want.GetMessage() {
		return fmt.Errorf("%s ended with the message %q, want %q", call, got, want.GetMessage())
	}
	return nil
}
