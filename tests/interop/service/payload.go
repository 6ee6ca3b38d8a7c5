package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
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
	SendMsg(m any) error
}

// respond sends the responses that one request asks for, each after the
// interval it names. Those that are not to be compressed are not, on a stream
// where others are.
func respond(stream responder, in *grpctestingpb.StreamingOutputCallRequest) error {
	for _, p := range in.GetResponseParameters() {
		if p.GetCompressed().GetValue() {
			if err := compressAnswers(stream.Context(), true); err != nil {
				return err
			}
			break
		}
	}
	for _, p := range in.GetResponseParameters() {
		if err := pause(stream.Context(), time.Duration(p.GetIntervalUs())*time.Microsecond); err != nil {
			return err
		}
		payload, err := newPayload(in.GetResponseType(), p.GetSize())
		if err != nil {
			return err
		}
		var out proto.Message = &grpctestingpb.StreamingOutputCallResponse{Payload: payload}
		if !p.GetCompressed().GetValue() {
			out = stubs.Uncompressed(out)
		}
		if err := stream.SendMsg(out); err != nil {
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
