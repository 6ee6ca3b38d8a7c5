package canary

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

const (
	unaryMethod  = "/strata.canary.Test/Unary"
	streamMethod = "/strata.canary.Test/Stream"
)

// secrets is metadata that may be seen by nobody but its receiver.
func secrets() metadata.MD {
	return metadata.MD{
		"authorization": {"Bearer " + secret}, "cookie": {"a=" + secret, "b=" + secret}, "x-token": {secret},
		"x-secret-bin": {secret, "\x00" + secret}, "grpc-trace-bin": {secret},
	}
}

// serve serves on lis with a handler that does as its request says.
func (w *watch) serve(lis net.Listener, opts ...stubs.ServerOption) {
	w.t.Helper()
	all := append([]stubs.ServerOption{stubs.WithLogger(w.logger()), stubs.WithTrace(w.recorder.Endpoint("server", ""))}, opts...)
	w.see("server options", toAny(all)...)
	s := stubs.NewServer(all...)
	s.RegisterService(w.service(), nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(lis) }()
	w.t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil && !errors.Is(err, stubs.ErrServerStopped) {
			w.t.Errorf("Serve: %v", err)
		}
	})
}

func toAny[T any](list []T) (all []any) {
	for _, v := range list {
		all = append(all, v)
	}
	return all
}

func (w *watch) service() *stubs.ServiceDesc {
	return &stubs.ServiceDesc{
		ServiceName: "strata.canary.Test",
		Methods: []stubs.MethodDesc{{
			MethodName: "Unary",
			Handler: func(_ any, ctx context.Context, dec func(any) error, _ stubs.UnaryServerInterceptor) (any, error) {
				in := new(wrapperspb.StringValue)
				if err := dec(in); err != nil {
					w.see("decoding at the server", err)
					return nil, err
				}
				return wrapperspb.String(secret), w.handle(ctx, in.Value, true)
			},
		}},
		Streams: []stubs.StreamDesc{{
			StreamName: "Stream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s stubs.ServerStream) error {
				for first := true; ; first = false {
					w.see("a server's stream", s)
					in := new(wrapperspb.StringValue)
					if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
						return nil
					} else if err != nil {
						w.see("the server's RecvMsg", err)
						return err
					}
					if err := w.handle(s.Context(), in.Value, first); err != nil {
						return err
					}
					if err := s.SendMsg(wrapperspb.String(secret)); err != nil {
						w.see("the server's SendMsg", err)
						return err
					}
				}
			},
		}},
	}
}

// handle does what the first word of a request says.
func (w *watch) handle(ctx context.Context, request string, first bool) error {
	md, _ := metadata.FromIncomingContext(ctx)
	p, _ := peer.FromContext(ctx)
	w.see("a handler", ctx, md, p, context.WithValue(ctx, new(int), 1))
	what, _, _ := strings.Cut(request, " ")
	setters := []func(context.Context, metadata.MD) error{stubs.SetHeader, stubs.SetTrailer}
	if !first {
		setters = nil // the headers are sent
	}
	for _, set := range setters {
		pairs := secrets()
		switch what {
		case "bad-header":
			pairs["x-bad"] = []string{secret + "\r\n"}
		case "bad-key":
			pairs["x bad"] = []string{secret}
		}
		if err := set(ctx, pairs); err != nil {
			w.see("setting metadata", err)
			return err
		}
	}
	switch what {
	case "fail":
		st, err := status.New(status.NotFound, message).WithDetails(wrapperspb.String(secret))
		w.see("a status", st, st.Err(), err)
		return st.Err()
	case "own-error":
		return errors.New(message)
	case "panic":
		panic(md)
	case "panic-context":
		panic(ctx)
	case "sleep":
		<-ctx.Done()
		w.see("the cause of the end", context.Cause(ctx))
		return ctx.Err()
	}
	return nil
}

// dial returns a client that is watched.
func (w *watch) dial(target string, creds credentials.TransportCredentials, opts ...stubs.DialOption) *stubs.ClientConn {
	w.t.Helper()
	all := append([]stubs.DialOption{stubs.WithTransportCredentials(creds), stubs.WithLogger(w.logger()), stubs.WithTrace(w.recorder.Endpoint("client", ""))}, opts...)
	w.see("dial options", toAny(all)...)
	cc, err := stubs.NewClient(target, all...)
	if err != nil {
		w.see("NewClient", err)
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cc.Close() })
	return cc
}

// unary makes a call and looks at all that comes of it.
func (w *watch) unary(ctx context.Context, cc *stubs.ClientConn, request string, opts ...stubs.CallOption) error {
	var header, trailer metadata.MD
	var p peer.Peer
	opts = append(opts, stubs.Header(&header), stubs.Trailer(&trailer), stubs.Peer(&p))
	err := cc.Invoke(ctx, unaryMethod, wrapperspb.String(request+" "+secret), new(wrapperspb.StringValue), opts...)
	w.see("unary "+request[:min(4, len(request))], err, status.Convert(err), status.Convert(err).Code(), header, trailer, p, &p)
	return err
}

// stream makes a call with two messages each way.
func (w *watch) stream(ctx context.Context, cc *stubs.ClientConn, request string) error {
	s, err := cc.NewStream(ctx, &stubs.StreamDesc{ServerStreams: true, ClientStreams: true}, streamMethod)
	if err != nil {
		w.see("NewStream", err)
		return err
	}
	for range 2 {
		if err := s.SendMsg(wrapperspb.String(request + " " + secret)); err != nil {
			w.see("SendMsg", err)
			break
		}
		if err = s.RecvMsg(new(wrapperspb.StringValue)); err != nil {
			break
		}
	}
	_ = s.CloseSend() // what matters comes with RecvMsg
	for err == nil {
		err = s.RecvMsg(new(wrapperspb.StringValue))
	}
	header, headerErr := s.Header()
	w.see("stream "+request, s, err, header, headerErr, s.Trailer(), s.Context())
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// requests are what calls ask for, and how they end.
var requests = map[string]status.Code{
	"ok": status.OK, "fail": status.NotFound, "own-error": status.Unknown, "bad-header": status.Internal, "bad-key": status.Internal,
	"panic": status.Internal, "panic-context": status.Internal,
}

func TestCalls(t *testing.T) {
	w := newWatch(t)
	lis := listen(t)
	w.serve(lis, stubs.MaxRecvMsgSize(1000))
	cc := w.dial(lis.Addr().String(), credentials.NewInsecure(), stubs.WithUserAgent("canary"))
	ctx := metadata.NewOutgoingContext(within(t), secrets())
	w.see("a context", ctx)
	for request, code := range requests {
		if err := w.unary(ctx, cc, request); status.CodeOf(err) != code {
			t.Errorf("unary %s ended with %v, want %v", request, err, code)
		}
		if err := w.stream(ctx, cc, request); status.CodeOf(err) != code {
			t.Errorf("stream %s ended with %v, want %v", request, err, code)
		}
	}
	failures := map[string]func() error{
		"deadline": func() error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			return w.unary(ctx, cc, "sleep")
		},
		"cancel": func() error {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(20*time.Millisecond, func() { cancel(errors.New("enough")) })
			return w.stream(ctx, cc, "sleep")
		},
		"a long message":     func() error { return w.unary(ctx, cc, strings.Repeat(secret, 200)) },
		"a message too long": func() error { return w.unary(ctx, cc, "ok", stubs.MaxCallSendMsgSize(3)) },
		"a short limit":      func() error { return w.unary(ctx, cc, "ok", stubs.MaxCallRecvMsgSize(3)) },
		"a bad value": func() error {
			return w.unary(metadata.AppendToOutgoingContext(ctx, "x-bad", secret+"\x00"), cc, "ok")
		},
		"a bad key": func() error { return w.stream(metadata.AppendToOutgoingContext(ctx, "x bad", secret), cc, "ok") },
		"a list too long": func() error {
			return w.unary(metadata.AppendToOutgoingContext(ctx, "x-long", strings.Repeat(secret, 2000)), cc, "ok")
		},
		"an unknown method": func() error {
			err := cc.Invoke(ctx, "/strata.canary.Test/Missing", wrapperspb.String(secret), new(wrapperspb.StringValue))
			w.see("an unknown method", err)
			return err
		},
		"an answer of another type": func() error {
			err := cc.Invoke(ctx, unaryMethod, wrapperspb.String("ok "+secret), new(wrapperspb.BoolValue))
			w.see("an answer of another type", err)
			return errors.Join(err, errors.New("it may be taken")) // a string is an unknown field of it
		},
		"no message": func() error {
			err := cc.Invoke(ctx, unaryMethod, secret, new(wrapperspb.StringValue))
			w.see("no message", err)
			return err
		},
	}
	for name, fail := range failures {
		if err := fail(); err == nil {
			t.Errorf("%s: the call succeeds", name)
		}
	}
	w.see("a client", cc, cc.Channel(), cc.GetState())
	w.check()
}

// TestLostConnections: what is lost with its connection is told of without it.
func TestLostConnections(t *testing.T) {
	w := newWatch(t)
	lis := listen(t)
	w.serve(lis)
	conns := make(chan net.Conn, 10)
	cc := w.dial(lis.Addr().String(), credentials.NewInsecure(), stubs.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conns <- c
		}
		return c, err
	}))
	ctx := metadata.NewOutgoingContext(within(t), secrets())
	time.AfterFunc(50*time.Millisecond, func() { (<-conns).Close() })
	if err := w.unary(ctx, cc, "sleep"); status.CodeOf(err) != status.Unavailable {
		t.Errorf("the call ended with %v", err)
	}
	w.see("Close", cc.Close())
	if err := w.unary(ctx, cc, "ok"); err == nil {
		t.Error("a closed client makes calls")
	}
	w.check()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}
