package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// grpcGoImpl is grpc-go with its default options.
type grpcGoImpl struct{}

// grpcGoService answers what the benchmark asks.
type grpcGoService struct {
	testpb.UnimplementedTestServiceServer
	body []byte
}

// UnaryCall answers with a payload.
func (s *grpcGoService) UnaryCall(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: s.body[:len(in.GetPayload().GetBody())]}}, nil
}

// FullDuplexCall answers each message with a payload.
func (s *grpcGoService) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		out := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: s.body[:len(in.GetPayload().GetBody())]}}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

// StreamingInputCall reads nothing.
func (s *grpcGoService) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (grpcGoImpl) serve(lis net.Listener, conf *tls.Config) (stop func()) {
	s := grpc.NewServer(grpc.Creds(grpcGoCredentials(conf)))
	testpb.RegisterTestServiceServer(s, &grpcGoService{body: make([]byte, maxPayload)})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	return func() { s.Stop(); <-ended }
}

func (grpcGoImpl) dial(addr string, conf *tls.Config, size int) (client, error) {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(grpcGoCredentials(conf)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &grpcGoClient{cc: cc, stub: testpb.NewTestServiceClient(cc), size: size, ctx: ctx, cancel: cancel}, nil
}

// grpcGoCredentials are those of conf, nil for plain text.
func grpcGoCredentials(conf *tls.Config) credentials.TransportCredentials {
	if conf == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(conf)
}

type grpcGoClient struct {
	cc     *grpc.ClientConn
	stub   testpb.TestServiceClient
	size   int             // of the payloads
	ctx    context.Context // of the streams
	cancel context.CancelFunc
}

func (c *grpcGoClient) unary() func() error {
	req := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, c.size)}}
	return func() error {
		out, err := c.stub.UnaryCall(context.Background(), req)
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()), c.size)
	}
}

func (c *grpcGoClient) bidi() (func() error, error) {
	stream, err := c.stub.FullDuplexCall(c.ctx)
	if err != nil {
		return nil, err
	}
	req := &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: make([]byte, c.size)}}
	return func() error {
		if err := stream.Send(req); err != nil {
			return err
		}
		out, err := stream.Recv()
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()), c.size)
	}, nil
}

func (c *grpcGoClient) close() {
	c.cancel()
	_ = c.cc.Close() // nothing is left to be lost
}

// checkSize makes sure that what is measured is what was meant.
func checkSize(n, want int) error {
	if n != want {
		return fmt.Errorf("the answer has %d bytes, want %d", n, want)
	}
	return nil
}
