package cases

import (
	"context"
	"fmt"
	"slices"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// The metadata that a server of the test service sends back, one key in its
// initial and one in its trailing metadata.
const (
	initialKey    = "x-grpc-test-echo-initial"
	initialValue  = "test_initial_metadata_value"
	trailingKey   = "x-grpc-test-echo-trailing-bin"
	trailingValue = "\xab\xab\xab"
)

// customMetadata: metadata travels both ways, text and binary, in unary calls
// and in streams.
func customMetadata(ctx context.Context, c grpctestingpb.TestServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, initialKey, initialValue, trailingKey, trailingValue)

	var header, trailer metadata.MD
	reply, err := c.UnaryCall(ctx, &grpctestingpb.SimpleRequest{
		ResponseType: grpctestingpb.PayloadType_COMPRESSABLE,
		ResponseSize: largeResponse,
		Payload:      zeros(largeRequest),
	}, stubs.Header(&header), stubs.Trailer(&trailer))
	if err != nil {
		return fmt.Errorf("UnaryCall: %w", err)
	}
	if err := checkPayload(reply.GetPayload(), largeResponse); err != nil {
		return fmt.Errorf("UnaryCall: %w", err)
	}
	if err := checkEcho("UnaryCall", header, trailer); err != nil {
		return err
	}

	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	if err := roundTrip(stream, exchange{largeRequest, largeResponse}); err != nil {
		return fmt.Errorf("FullDuplexCall: %w", err)
	}
	if err := stream.CloseSend(); err != nil {
		return fmt.Errorf("FullDuplexCall: half-close: %w", err)
	}
	if err := wantEnd("FullDuplexCall", stream); err != nil {
		return err
	}
	if header, err = stream.Header(); err != nil {
		return fmt.Errorf("FullDuplexCall: initial metadata: %w", err)
	}
	return checkEcho("FullDuplexCall", header, stream.Trailer())
}

// checkEcho says what is wrong with the metadata that came back: each key has
// exactly one value.
func checkEcho(call string, header, trailer metadata.MD) error {
	if got := header.Get(initialKey); !slices.Equal(got, []string{initialValue}) {
		return fmt.Errorf("%s: initial metadata has %s: %q, want %q once", call, initialKey, got, initialValue)
	}
	if got := trailer.Get(trailingKey); !slices.Equal(got, []string{trailingValue}) {
		return fmt.Errorf("%s: trailing metadata has %s: %q, want %q once", call, trailingKey, got, trailingValue)
	}
	return nil
}
