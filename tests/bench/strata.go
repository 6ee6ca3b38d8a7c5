package main

import (
	"context"
	"crypto/tls"
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
func (s *strataService) UnaryCall(_ context.Context, in *grpctestingpb.SimpleRequest) (*grpctestingpb.SimpleResponse, error) {
	return &grpctestingpb.SimpleResponse{Payload: &grpctestingpb.Payload{Body: s.body[:len(in.GetPayload().GetBody())]}}, nil
}

// FullDuplexCall answers each message with a payload.
func (s *strataService) FullDuplexCall(stream grpctestingpb.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		out := &grpctestingpb.StreamingOutputCallResponse{Payload: &grpctestingpb.Payload{Body: s.body[:len(in.GetPayload().GetBody())]}}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

// StreamingInputCall reads nothing.
func (s *strataService) StreamingInputCall(stream grpctestingpb.TestService_StreamingInputCallServer) error {
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (strataImpl) serve(lis net.Listener, conf *tls.Config) (stop func()) {
	s := stubs.NewServer(stubs.Creds(strataCredentials(conf)))
	grpctestingpb.RegisterTestServiceServer(s, &strataService{body: make([]byte, maxPayload)})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	return func() { s.Stop(); <-ended }
}

func (strataImpl) dial(addr string, conf *tls.Config, size int) (client, error) {
	cc, err := stubs.NewClient(addr, stubs.WithTransportCredentials(strataCredentials(conf)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &strataClient{cc: cc, stub: grpctestingpb.NewTestServiceClient(cc), size: size, ctx: ctx, cancel: cancel}, nil
}

// strataCredentials are those of conf, nil for plain text.
func strataCredentials(conf *tls.Config) credentials.TransportCredentials {
	if conf == nil {
		return credentials.NewInsecure()
	}
	return credentials.NewTLS(conf)
}

type strataClient struct {
	cc     *stubs.ClientConn
	stub   grpctestingpb.TestServiceClient
	size   int             // of the payloads
	ctx    context.Context // of the streams
	cancel context.CancelFunc
}

func (c *strataClient) unary() func() error {
	req := &grpctestingpb.SimpleRequest{Payload: &grpctestingpb.Payload{Body: make([]byte, c.size)}}
	return func() error {
		out, err := c.stub.UnaryCall(context.Background(), req)
		if err != nil {
			return err
		}
		return checkSize(len(out.GetPayload().GetBody()), c.size)
	}
}

func (c *strataClient) bidi() (func() error, error) {
	stream, err := c.stub.FullDuplexCall(c.ctx)
	if err != nil {
		return nil, err
	}
	req := &grpctestingpb.StreamingOutputCallRequest{Payload: &grpctestingpb.Payload{Body: make([]byte, c.size)}}
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

func (c *strataClient) close() {
	c.cancel()
	_ = c.cc.Close() // nothing is left to be lost
}
