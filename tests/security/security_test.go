package security

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// patience is what a test waits for something that must come.
const patience = 20 * time.Second

const (
	unaryMethod  = "/strata.security.Test/Unary"
	streamMethod = "/strata.security.Test/Stream"
)

// TestMain runs the tests without the proxies of whoever runs them, or, as a
// child of one of them, the child's part.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		os.Unsetenv(name)
	}
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A handler answers a call; the answer is an empty message.
type handler func(ctx context.Context) error

// serve serves the test's methods on lis until the test ends.
func serve(t *testing.T, lis net.Listener, h handler, opts ...stubs.ServerOption) {
	t.Helper()
	if h == nil {
		h = func(context.Context) error { return nil }
	}
	s := stubs.NewServer(append([]stubs.ServerOption{stubs.WithLogger(quiet())}, opts...)...)
	s.RegisterService(describe(h), nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, stubs.ErrServerStopped) {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("Serve does not return")
		}
	})
}

func describe(h handler) *stubs.ServiceDesc {
	return &stubs.ServiceDesc{
		ServiceName: "strata.security.Test",
		Methods: []stubs.MethodDesc{{
			MethodName: "Unary",
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ stubs.UnaryServerInterceptor) (any, error) {
				if err := dec(new(emptypb.Empty)); err != nil {
					return nil, err
				}
				return new(emptypb.Empty), h(ctx)
			},
		}},
		Streams: []stubs.StreamDesc{{
			StreamName: "Stream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s stubs.ServerStream) error {
				if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
					return err
				}
				if err := h(s.Context()); err != nil {
					return err
				}
				return s.SendMsg(new(emptypb.Empty))
			},
		}},
	}
}

// listenTCP returns a listener on a port that the system chooses.
func listenTCP(t *testing.T) net.Listener { return listenOn(t, "tcp", "127.0.0.1:0") }

func listenOn(t *testing.T, network, address string) net.Listener {
	t.Helper()
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}

// dial returns a client; plain text unless an option says otherwise.
func dial(t *testing.T, target string, opts ...stubs.DialOption) *stubs.ClientConn {
	t.Helper()
	all := append([]stubs.DialOption{stubs.WithLogger(quiet()), stubs.WithTransportCredentials(credentials.NewInsecure())}, opts...)
	cc, err := stubs.NewClient(target, all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc
}

// call makes a unary call.
func call(ctx context.Context, cc *stubs.ClientConn, opts ...stubs.CallOption) error {
	return cc.Invoke(ctx, unaryMethod, new(emptypb.Empty), new(emptypb.Empty), opts...)
}

// stream makes a call of the other method, with one message each way, to its end.
func stream(ctx context.Context, cc *stubs.ClientConn, opts ...stubs.CallOption) error {
	s, err := cc.NewStream(ctx, &stubs.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod, opts...)
	if err != nil {
		return err
	}
	if err := s.SendMsg(new(emptypb.Empty)); err == nil {
		_ = s.CloseSend() // the result of the call comes with RecvMsg
	}
	for {
		switch err := s.RecvMsg(new(emptypb.Empty)); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// kinds are the ways to make a call.
var kinds = map[string]func(context.Context, *stubs.ClientConn, ...stubs.CallOption) error{"unary": call, "stream": stream}

// A tap keeps what is written to connections.
type tap struct {
	mu sync.Mutex
	// Guarded by mu.
	sent []byte
}

// tapped is a connection with a tap.
type tapped struct {
	net.Conn
	tap *tap
}

func (c tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.sent = append(c.tap.sent, p...)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}

// bytes returns what was written so far.
func (p *tap) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]byte(nil), p.sent...)
}

// headers counts the HEADERS frames in what one end has written. RFC 9113 §4.1.
func headers(sent []byte, preface bool) (n int) {
	if preface {
		sent = sent[min(len(sent), len(frame.ClientPreface)):]
	}
	for len(sent) >= 9 {
		length := int(binary.BigEndian.Uint32(sent) >> 8)
		if sent[3] == 1 {
			n++
		}
		sent = sent[min(len(sent), 9+length):]
	}
	return n
}

// tapListener taps what a server writes.
type tapListener struct {
	net.Listener
	tap *tap
}

func (l tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tapped{c, l.tap}, nil
}

// tapDialer taps what a client writes.
func tapDialer(p *tap) stubs.DialOption {
	return stubs.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return tapped{c, p}, nil
	})
}
