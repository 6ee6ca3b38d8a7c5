package service

import (
	"context"
	"time"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// maxPayload bounds what one response makes the server allocate: a request of
// a few bytes can ask for two gigabytes.
const maxPayload = 64 << 20

// newPayload returns size zero bytes.
func newPayload(kind grpctestingpb.PayloadType, size int32) (*grpctestingpb.Payload, error) {
	if kind != grpctestingpb.PayloadType_COMPRESSABLE {
		return nil, status.Errorf(status.InvalidArgument, "response_type %v is unknown", kind)
	}
	if size < 0 || size > maxPayload {
		return nil, status.Errorf(status.InvalidArgument, "response size %d is not within 0 to %d", size, maxPayload)
	}
	return &grpctestingpb.Payload{Type: kind, Body: make([]byte, size)}, nil
}

// A responder is the sending half of a stream of responses.
type responder interface {
	Context() context.Context
	Send(*grpctestingpb.StreamingOutputCallResponse) error
}

// respond sends the responses that one request asks for, each after the
// interval it names.
func respond(stream responder, in *grpctestingpb.StreamingOutputCallRequest) error {
	for _, p := range in.GetResponseParameters() {
		if err := pause(stream.Context(), time.Duration(p.GetIntervalUs())*time.Microsecond); err != nil {
			return err
		}
		payload, err := newPayload(in.GetResponseType(), p.GetSize())
		if err != nil {
			return err
		}
		if err := stream.Send(&grpctestingpb.StreamingOutputCallResponse{Payload: payload}); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d or until the call is over.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
