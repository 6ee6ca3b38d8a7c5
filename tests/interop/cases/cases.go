package cases

import (
	"context"
	"errors"
	"fmt"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// A Case is one case of the interoperability tests.
type Case struct {
	// Name is the value of --test_case.
	Name string
	// Run makes the case's calls over cc. It returns nil if the case passed,
	// else an error that says which call broke which expectation.
	Run func(ctx context.Context, cc stubs.ClientConnInterface) error

	// Compressed says that the case is about compressed messages, which the test
	// programs of grpc-go do not know.
	Compressed bool
}

// All returns the cases in the order of the official document.
func All() []Case {
	return []Case{
		{Name: "empty_unary", Run: onService(emptyUnary)},
		{Name: "large_unary", Run: onService(largeUnary)},
		{Name: "client_compressed_unary", Run: onService(clientCompressedUnary), Compressed: true},
		{Name: "server_compressed_unary", Run: onService(serverCompressedUnary), Compressed: true},
		{Name: "client_streaming", Run: onService(clientStreaming)},
		{Name: "client_compressed_streaming", Run: onService(clientCompressedStreaming), Compressed: true},
		{Name: "server_streaming", Run: onService(serverStreaming)},
		{Name: "server_compressed_streaming", Run: onService(serverCompressedStreaming), Compressed: true},
		{Name: "ping_pong", Run: onService(pingPong)},
		{Name: "empty_stream", Run: onService(emptyStream)},
		{Name: "custom_metadata", Run: onService(customMetadata)},
		{Name: "status_code_and_message", Run: onService(statusCodeAndMessage)},
		{Name: "special_status_message", Run: onService(specialStatusMessage)},
		{Name: "unimplemented_method", Run: onService(unimplementedMethod)},
		{Name: "unimplemented_service", Run: unimplementedService},
		{Name: "cancel_after_begin", Run: onService(cancelAfterBegin)},
		{Name: "cancel_after_first_response", Run: onService(cancelAfterFirstResponse)},
		{Name: "timeout_on_sleeping_server", Run: onService(timeoutOnSleepingServer)},
	}
}

// Find returns the case of that name.
func Find(name string) (c Case, ok bool) {
	for _, c := range All() {
		if c.Name == name {
			return c, true
		}
	}
	return Case{}, false
}

// onService adapts a case that calls grpc.testing.TestService.
func onService(run func(context.Context, grpctestingpb.TestServiceClient) error) func(context.Context, stubs.ClientConnInterface) error {
	return func(ctx context.Context, cc stubs.ClientConnInterface) error {
		return run(ctx, grpctestingpb.NewTestServiceClient(cc))
	}
}

// The sizes that the document prescribes.
const (
	largeRequest  = 271828
	largeResponse = 314159
)

// An exchange is the size of one message and of the answer asked for.
type exchange struct{ request, response int }

// exchanges are the messages of the streaming cases, in order.
func exchanges() []exchange {
	return []exchange{{27182, 31415}, {8, 9}, {1828, 2653}, {45904, 58979}}
}

// zeros returns a payload of n zero bytes.
func zeros(n int) *grpctestingpb.Payload {
	return &grpctestingpb.Payload{Type: grpctestingpb.PayloadType_COMPRESSABLE, Body: make([]byte, n)}
}

// streamingRequest asks for one response of e.response bytes.
func streamingRequest(e exchange) *grpctestingpb.StreamingOutputCallRequest {
	return &grpctestingpb.StreamingOutputCallRequest{
		ResponseType:       grpctestingpb.PayloadType_COMPRESSABLE,
		ResponseParameters: []*grpctestingpb.ResponseParameters{{Size: int32(e.response)}},
		Payload:            zeros(e.request),
	}
}

// checkPayload says what is wrong with a payload that should be n zero bytes.
func checkPayload(p *grpctestingpb.Payload, n int) error {
	if p.GetType() != grpctestingpb.PayloadType_COMPRESSABLE {
		return fmt.Errorf("the payload's type is %v, want %v", p.GetType(), grpctestingpb.PayloadType_COMPRESSABLE)
	}
	if len(p.GetBody()) != n {
		return fmt.Errorf("the payload has %d bytes, want %d", len(p.GetBody()), n)
	}
	for i, b := range p.GetBody() {
		if b != 0 {
			return fmt.Errorf("byte %d of the payload is %#x, want 0", i, b)
		}
	}
	return nil
}

// checkCode says so when err is not a status of the given code.
func checkCode(call string, err error, want status.Code) error {
	if got := status.CodeOf(err); got != want {
		return fmt.Errorf("%s ended with %v (%w), want %v", call, got, orNoError(err), want)
	}
	return nil
}

// orNoError makes a nil error printable.
func orNoError(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
