package main

import (
	"context"
	"errors"
	"io"
	"net"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// strataImpl is Strata with its default options.
type strataImpl struct{}

// strataService answers what the benchmark asks.
type strataService struct {
	grpctestingpb.UnimplementedTestServiceServer
	body []byte
}

// UnaryCall answers with a payload.
func (s *strataService) UnaryCall(context.Context, *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	return &grpctestingpb.SimpleResponse{Payload: &grpctestingpb.Payload{Body: s.body}}, nil
}

// FullDuplexCall answers each message with a payload.
func (s *strataService) FullDuplexCall(stream grpctestingpb.TestService_FullDuplexCallServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		out := &grpctestingpb.StreamingOutputCallResponse{Payload: &grpctestingpb.Payload{Body: s.body}}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func (strataImpl) serve() (addr string, stop func(), err error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := stubs.NewServer()
	grpctestingpb.RegisterTestServiceServer(s, &strataService{body: make([]byte, payloadSize)})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	return lis.Addr().String(), func() { s.Stop(); <-ended }, nil
}

func (strataImpl) dial(addr string) (client, error) {
	cc, err := stubs.NewClient(addr, stubs.WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &strataClient{cc: cc, stub: grpctestingpb.NewTestServiceClient(cc), ctx: ctx, cancel: cancel}, nil
}

type strataClient struct {
	cc     *stubs.ClientConn
	stub   grpctestingpb.TestServiceClient
	ctx    context.Context // of the streams
	cancel context.CancelFunc
}

func (c *strataClient) unary() func() error {
	req := &grpctestingpb.SimpleRequest{ResponseSize: payloadSize, Payload: &grpctestingpb.Payload{Body: make([]byte, payloadSize)}}
	return func() error {
		out, err := c.stub.UnaryCall(context.Background(), req)
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()))
	}
}

func (c *strataClient) bidi() (func() error, error) {
	stream, err := c.stub.FullDuplexCall(c.ctx)
	if err != nil {
		return nil, err
	}
	req := &grpctestingpb.StreamingOutputCallRequest{Payload: &grpctestingpb.Payload{Body: make([]byte, payloadSize)}}
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

func (c *strataClient) close() {
	c.cancel()
	_ = c.cc.Close() // nothing is left to be lost
}
