package main

import (
	"context"
	"fmt"

	"github.com/strata-grpc/strata"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/walkthroughs/echopb"
	"github.com/strata-grpc/strata/walkthroughs/internal/tour"
)

// The parts of the tour.
const (
	sceneConnection = "The connection: dial, preface, SETTINGS"
	sceneCall       = "The call: /echo.Echo/Echo"
	sceneEnd        = "The end: both sides close"
)

// echoServer answers with what it was asked.
type echoServer struct {
	echopb.UnimplementedEchoServer
	env *tour.Env
}

func (s echoServer) Echo(_ context.Context, in *echopb.EchoRequest) (*echopb.EchoResponse, error) {
	if s.env.Handler != nil {
		s.env.Handler()
	}
	return &echopb.EchoResponse{Text: in.GetText()}, nil
}

// Run starts a server and a client, makes one unary call, and closes both. The
// connection is made before the call, so that the call stands alone.
func Run(env *tour.Env) (reply string, err error) {
	server := strata.NewServer(strata.WithTrace(env.ServerTrace()))
	echopb.RegisterEchoServer(server, echoServer{env: env})
	served := make(chan error, 1)
	go func() { served <- server.Serve(env.Listener) }()

	env.Scene(sceneConnection)
	cc, err := strata.NewClient("passthrough:///"+env.Listener.Addr().String(),
		strata.WithTransportCredentials(strata.InsecureCredentials()),
		stubs.WithContextDialer(env.Dial),
		strata.WithTrace(env.ClientTrace()))
	if err != nil {
		return "", err
	}
	if err := cc.Ready(context.Background()); err != nil {
		return "", fmt.Errorf("connecting: %w", err)
	}

	env.Scene(sceneCall)
	out, err := echopb.NewEchoClient(cc).Echo(context.Background(), &echopb.EchoRequest{Text: "hello"})
	if err != nil {
		return "", fmt.Errorf("calling: %w", err)
	}

	env.Scene(sceneEnd)
	if err := cc.Close(); err != nil {
		return "", err
	}
	if err := server.Shutdown(context.Background()); err != nil {
		return "", fmt.Errorf("shutting down: %w", err)
	}
	return out.GetText(), <-served
}
