package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/interop/service"
)

// connect serves the service and returns a client of it.
func connect(t *testing.T) grpctestingpb.TestServiceClient {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := stubs.NewServer()
	grpctestingpb.RegisterTestServiceServer(s, service.New("me"))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	cc, err := stubs.NewClient(lis.Addr().String(), stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		s.Stop()
		if err := <-ended; err != nil && !errors.Is(err, stubs.ErrServerStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
	return grpctestingpb.NewTestServiceClient(cc)
}

// limited returns a context that ends before the test does.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestUnaryRequests(t *testing.T) {
	c := connect(t)
	for _, tc := range []struct {
		name string
		in   *grpctestingpb.SimpleRequest
		code status.Code
		id   string
	}{
		{"nothing asked for", &grpctestingpb.SimpleRequest{}, status.OK, ""},
		{"server id", &grpctestingpb.SimpleRequest{FillServerId: true}, status.OK, "me"},
		{"unknown type", &grpctestingpb.SimpleRequest{ResponseType: 77}, status.InvalidArgument, ""},
		{"negative size", &grpctestingpb.SimpleRequest{ResponseSize: -1}, status.InvalidArgument, ""},
		{"too much", &grpctestingpb.SimpleRequest{ResponseSize: 1 << 30}, status.InvalidArgument, ""},
		{"not compressed", &grpctestingpb.SimpleRequest{ExpectCompressed: &grpctestingpb.BoolValue{Value: true}}, status.InvalidArgument, ""},
		{"status OK", &grpctestingpb.SimpleRequest{ResponseStatus: &grpctestingpb.EchoStatus{}}, status.OK, ""},
		{"status", &grpctestingpb.SimpleRequest{ResponseStatus: &grpctestingpb.EchoStatus{Code: 10, Message: "m"}}, status.Aborted, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, call := range map[string]func(context.Context, *grpctestingpb.SimpleRequest, ...stubs.CallOption) (*grpctestingpb.SimpleResponse, error){
				"UnaryCall": c.UnaryCall, "CacheableUnaryCall": c.CacheableUnaryCall,
			} {
				out, err := call(limited(t), tc.in)
				if status.CodeOf(err) != tc.code || out.GetServerId() != tc.id {
					t.Errorf("%s = %v, %v, want %v and the id %q", name, out, err, tc.code, tc.id)
				}
			}
		})
	}
}

// TestStreamsRefuse: what a unary call refuses, streams refuse as well.
func TestStreamsRefuse(t *testing.T) {
	c := connect(t)
	unknown := &grpctestingpb.StreamingOutputCallRequest{
		ResponseType: 77, ResponseParameters: []*grpctestingpb.ResponseParameters{{Size: 1}},
	}
	out, err := c.StreamingOutputCall(limited(t), unknown)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Recv(); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("StreamingOutputCall of an unknown type ended with %v", err)
	}
	duplex, err := c.FullDuplexCall(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := duplex.Send(unknown); err != nil {
		t.Fatal(err)
	}
	if _, err := duplex.Recv(); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("FullDuplexCall of an unknown type ended with %v", err)
	}
	in, err := c.StreamingInputCall(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Send(&grpctestingpb.StreamingInputCallRequest{ExpectCompressed: &grpctestingpb.BoolValue{Value: true}}); err != nil {
		t.Fatal(err)
	}
	if _, err := in.CloseAndRecv(); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("StreamingInputCall of what is not compressed ended with %v", err)
	}
}

// TestInterval: the service waits before each response, and no longer than the
// call lasts.
func TestInterval(t *testing.T) {
	c := connect(t)
	const interval = 20 * time.Millisecond
	begin := time.Now()
	pauses := &grpctestingpb.ResponseParameters{Size: 1, IntervalUs: int32(interval / time.Microsecond)}
	out, err := c.StreamingOutputCall(limited(t), &grpctestingpb.StreamingOutputCallRequest{
		ResponseParameters: []*grpctestingpb.ResponseParameters{pauses, pauses, pauses},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err := out.Recv(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if took := time.Since(begin); n != 3 || took < 3*interval {
		t.Errorf("%d responses came in %v, want 3 in %v or more", n, took, 3*interval)
	}
	ctx, cancel := context.WithTimeout(limited(t), interval)
	defer cancel()
	begin = time.Now()
	out, err = c.StreamingOutputCall(ctx, &grpctestingpb.StreamingOutputCallRequest{
		ResponseParameters: []*grpctestingpb.ResponseParameters{{IntervalUs: int32(time.Hour / 2 / time.Microsecond)}},
	})
	if err == nil {
		_, err = out.Recv()
	}
	if took := time.Since(begin); status.CodeOf(err) != status.DeadlineExceeded || took > 10*time.Second {
		t.Errorf("a pause of half an hour ended with %v after %v", err, took)
	}
}

// TestHalfDuplex: no response comes before the half-close, then all do.
func TestHalfDuplex(t *testing.T) {
	s, err := connect(t).HalfDuplexCall(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(5) {
		if err := s.Send(&grpctestingpb.StreamingOutputCallRequest{ResponseParameters: []*grpctestingpb.ResponseParameters{{Size: n}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		out, err := s.Recv()
		if err != nil || len(out.GetPayload().GetBody()) != n {
			t.Fatalf("response %d has %d bytes: %v", n, len(out.GetPayload().GetBody()), err)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last response: %v", err)
	}
}
