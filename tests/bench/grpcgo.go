package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
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
func (s *grpcGoService) UnaryCall(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: s.body}}, nil
}

// FullDuplexCall answers each message with a payload.
func (s *grpcGoService) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		out := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: s.body}}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func (grpcGoImpl) serve() (addr string, stop func(), err error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := grpc.NewServer()
	testpb.RegisterTestServiceServer(s, &grpcGoService{body: make([]byte, payloadSize)})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	return lis.Addr().String(), func() { s.Stop(); <-ended }, nil
}

func (grpcGoImpl) dial(addr string) (client, error) {
	cc, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &grpcGoClient{cc: cc, stub: testpb.NewTestServiceClient(cc), ctx: ctx, cancel: cancel}, nil
}

type grpcGoClient struct {
	cc     *grpc.ClientConn
	stub   testpb.TestServiceClient
	ctx    context.Context // of the streams
	cancel context.CancelFunc
}

func (c *grpcGoClient) unary() func() error {
	req := &testpb.SimpleRequest{ResponseSize: payloadSize, Payload: &testpb.Payload{Body: make([]byte, payloadSize)}}
	return func() error {
		out, err := c.stub.UnaryCall(context.Background(), req)
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()))
	}
}

func (c *grpcGoClient) bidi() (func() error, error) {
	stream, err := c.stub.FullDuplexCall(c.ctx)
	if err != nil {
		return nil, err
	}
	req := &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: make([]byte, payloadSize)}}
	return func() error {
		if err := stream.Send(req); err != nil {
			return err
		}
		out, err := stream.Recv()
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()))
	}, nil
}

func (c *grpcGoClient) close() {
	c.cancel()
	_ = c.cc.Close() // nothing is left to be lost
}

// checkSize makes sure that what is measured is what was meant.
func checkSize(n int) error {
	if n != payloadSize {
		return fmt.Errorf("the answer has %d bytes, want %d", n, payloadSize)
	}
	return nil
}
