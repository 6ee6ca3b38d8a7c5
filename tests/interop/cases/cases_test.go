package cases_test

import (
	"context"
	"net"
	"testing"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/interop/cases"
	"github.com/strata-grpc/strata/tests/interop/service"
)

// wrong is a server that gets everything a little wrong.
type wrong struct {
	*service.Service
	grpctestingpb.UnimplementedUnimplementedServiceServer
}

// EmptyCall fails.
func (wrong) EmptyCall(context.Context, *grpctestingpb.Empty) (*grpctestingpb.Empty, error) {
	return nil, status.Error(status.Internal, "wrong")
}

// UnaryCall answers one byte too few, or with a message that is cut off.
func (w wrong) UnaryCall(ctx context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	if st := in.GetResponseStatus(); st != nil {
		return nil, status.Error(status.Code(st.GetCode()), st.GetMessage()[1:])
	}
	in.ResponseSize--
	return w.Service.UnaryCall(ctx, in)
}

// StreamingInputCall counts nothing.
func (wrong) StreamingInputCall(stream grpctestingpb.TestService_StreamingInputCallServer) error {
	return stream.SendAndClose(&grpctestingpb.StreamingInputCallResponse{})
}

// StreamingOutputCall sends one response more than asked for.
func (w wrong) StreamingOutputCall(in *grpctestingpb.StreamingOutputCallRequest, stream grpctestingpb.TestService_StreamingOutputCallServer) error {
	in.ResponseParameters = append(in.ResponseParameters, &grpctestingpb.ResponseParameters{Size: 1})
	return w.Service.StreamingOutputCall(in, stream)
}

// FullDuplexCall sends one response before it was asked for any.
func (w wrong) FullDuplexCall(stream grpctestingpb.TestService_FullDuplexCallServer) error {
	if err := stream.Send(&grpctestingpb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	return w.Service.FullDuplexCall(stream)
}

// UnimplementedCall is implemented, in both services.
func (wrong) UnimplementedCall(context.Context, *grpctestingpb.Empty) (*grpctestingpb.Empty, error) {
	return &grpctestingpb.Empty{}, nil
}

// noEcho is a server that loses metadata.
type noEcho struct{ *service.Service }

// UnaryCall does not see what the client has sent.
func (n noEcho) UnaryCall(ctx context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	in.ResponseStatus = nil
	return &grpctestingpb.SimpleResponse{Payload: &grpctestingpb.Payload{Body: make([]byte, in.GetResponseSize())}},
		stubs.SetHeader(ctx, metadata.Pairs("x-grpc-test-echo-initial", "something else"))
}

// deaf is a connection that does not hear of the end of a context and ends its
// calls for another reason soon.
type deaf struct {
	stubs.ClientConnInterface
	end func(context.Context) (context.Context, context.CancelFunc)
}

// NewStream begins a call with another context.
func (d deaf) NewStream(ctx context.Context, desc *stubs.StreamDesc, method string, opts ...stubs.CallOption) (stubs.ClientStream, error) {
	ctx, cancel := d.end(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, cancel)
	return d.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}

// soon is shorter than a test and longer than a call that works.
const soon = 300 * time.Millisecond

func soonDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, soon)
}

func soonCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(soon, cancel)
	return ctx, cancel
}

// connect serves a TestService and returns a client of it.
func connect(t *testing.T, register func(*stubs.Server), opts ...stubs.ServerOption) *stubs.ClientConn {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := stubs.NewServer(opts...)
	register(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	cc, err := stubs.NewClient(lis.Addr().String(), stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		s.Stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return cc
}

// run runs a case with a time limit.
func run(t *testing.T, c cases.Case, cc stubs.ClientConnInterface) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Run(ctx, cc)
}

// TestCasesFail: each case fails where what it checks is broken, and passes
// where nothing is.
func TestCasesFail(t *testing.T) {
	right := connect(t, func(s *stubs.Server) { grpctestingpb.RegisterTestServiceServer(s, service.New("right")) })
	off := connect(t, func(s *stubs.Server) {
		w := wrong{Service: service.New("wrong")}
		grpctestingpb.RegisterTestServiceServer(s, w)
		grpctestingpb.RegisterUnimplementedServiceServer(s, w)
	})
	silent := connect(t, func(s *stubs.Server) { grpctestingpb.RegisterTestServiceServer(s, noEcho{service.New("silent")}) })
	unable := connect(t, func(s *stubs.Server) { grpctestingpb.RegisterTestServiceServer(s, service.New("unable")) },
		stubs.WithCompression(stubs.CompressionConfig{Compressors: []stubs.Compressor{}}))
	broken := map[string]stubs.ClientConnInterface{
		"client_compressed_unary":     unable,
		"server_compressed_unary":     unable,
		"client_compressed_streaming": unable,
		"server_compressed_streaming": unable,
		"custom_metadata":             silent,
		"status_code_and_message":     silent,
		"cancel_after_begin":          deaf{right, soonDeadline},
		"cancel_after_first_response": deaf{right, soonDeadline},
		"timeout_on_sleeping_server":  deaf{right, soonCancel},
	}
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			if err := run(t, c, right); err != nil {
				t.Errorf("nothing is broken: %v", err)
			}
			cc, ok := broken[c.Name]
			if !ok {
				cc = off
			}
			if err := run(t, c, cc); err == nil {
				t.Error("the case passed although something is broken")
			}
		})
	}
}

func TestFind(t *testing.T) {
	for _, c := range cases.All() {
		if found, ok := cases.Find(c.Name); !ok || found.Name != c.Name {
			t.Errorf("Find(%q) = %q, %v", c.Name, found.Name, ok)
		}
	}
	if _, ok := cases.Find("no_such_case"); ok {
		t.Error("a case that does not exist was found")
	}
}
