// Package service is grpc.testing.TestService, the server side of the official
// gRPC interoperability tests.
//
// # Contract
//
//   - Up: [New], a handler to register with a server.
//   - Statuses are this application's own: an unknown payload type or a size
//     out of range is INVALID_ARGUMENT, which the library never invents.
//   - A request that came otherwise than it says, compressed or not, is
//     INVALID_ARGUMENT too. An answer is compressed with gzip where the request
//     asks for that and the client accepts it.
//   - Not here: the caller's user name and OAuth scope, which need credentials.
//
// # Goroutines
//
// None of its own; handlers run on the server's.
//
// # Locks
//
// None: the service has no state but its identity.
//
// # Reading order
//
// service.go, streams.go, payload.go, compression.go.
package service

import (
	"context"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// The metadata that the service sends back when a client sends it.
const (
	initialKey  = "x-grpc-test-echo-initial"
	trailingKey = "x-grpc-test-echo-trailing-bin"
)

// A Service implements grpc.testing.TestService but for UnimplementedCall,
// which no server implements.
type Service struct {
	grpctestingpb.UnimplementedTestServiceServer
	id string
}

// New returns a service that names itself id where a client asks for it.
func New(id string) *Service { return &Service{id: id} }

// EmptyCall answers with an empty message.
func (s *Service) EmptyCall(context.Context, *grpctestingpb.Empty) (*grpctestingpb.Empty, error) {
	return &grpctestingpb.Empty{}, nil
}

// UnaryCall answers with a payload of the size, or the status, asked for.
func (s *Service) UnaryCall(ctx context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	initial, trailing := echoed(ctx)
	if err := stubs.SetHeader(ctx, initial); err != nil {
		return nil, err
	}
	if err := stubs.SetTrailer(ctx, trailing); err != nil {
		return nil, err
	}
	if err := checkCompressed(ctx, in.GetExpectCompressed()); err != nil {
		return nil, err
	}
	if err := compressAnswers(ctx, in.GetResponseCompressed().GetValue()); err != nil {
		return nil, err
	}
	if err := askedFor(in.GetResponseStatus()); err != nil {
		return nil, err
	}
	payload, err := newPayload(in.GetResponseType(), in.GetResponseSize())
	if err != nil {
		return nil, err
	}
	out := &grpctestingpb.SimpleResponse{Payload: payload}
	if in.GetFillServerId() {
		out.ServerId = s.id
	}
	return out, nil
}

// CacheableUnaryCall is UnaryCall: caching is the business of proxies.
func (s *Service) CacheableUnaryCall(ctx context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	return s.UnaryCall(ctx, in)
}

// echoed returns what the client wants to see again in the initial and in the
// trailing metadata.
func echoed(ctx context.Context) (initial, trailing metadata.MD) {
	if values := metadata.ValueFromIncomingContext(ctx, initialKey); len(values) > 0 {
		initial = metadata.MD{initialKey: values}
	}
	if values := metadata.ValueFromIncomingContext(ctx, trailingKey); len(values) > 0 {
		trailing = metadata.MD{trailingKey: values}
	}
	return initial, trailing
}

// askedFor returns the status that the client asked for as an error, nil if it
// asked for none or for OK.
func askedFor(st *grpctestingpb.EchoStatus) error {
	if st == nil {
		return nil
	}
	return status.Error(status.Code(st.GetCode()), st.GetMessage())
}
