package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// patience is how long anything here may take before it counts as hanging. It
// is long, since the tests share two CPUs with the race detector.
const patience = 20 * time.Second

// The service that the tests of this package serve has one method of each
// shape that matters on the wire.
const (
	serviceName  = "strata.tests.Peer"
	unaryName    = "Unary"
	streamName   = "Stream"
	unaryMethod  = "/" + serviceName + "/" + unaryName
	streamMethod = "/" + serviceName + "/" + streamName
)

// A message is what travels: bytes.
type message = wrapperspb.BytesValue

// A pairs is metadata, in the form that both libraries' types convert to.
type pairs = map[string][]string

// A library is a gRPC implementation under test.
type library interface {
	name() string
	// serve starts a server with the handlers of h. It ends with the test.
	serve(t *testing.T, h handlers, o serverOptions) *runningServer
	// dial returns a client. It is closed with the test.
	dial(t *testing.T, target string, o clientOptions) conn
	// statusOf returns the status that an error of a call carries.
	statusOf(err error) *spb.Status
}

// handlers are the methods of a server. A nil handler echoes.
type handlers struct {
	unary  func(ctx context.Context, c handlerCall, in *message) (*message, error)
	stream func(s serverStream) error
}

// A handlerCall is what a unary handler does to its call.
type handlerCall interface {
	incoming(ctx context.Context) pairs
	setHeader(ctx context.Context, md pairs) error
	setTrailer(ctx context.Context, md pairs) error
	fail(st *spb.Status) error
}

// A serverStream is what a stream's handler does to its call.
type serverStream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
	incoming() pairs
	setHeader(md pairs) error
	setTrailer(md pairs)
	fail(st *spb.Status) error
}

// A conn is a client.
type conn interface {
	// unary makes a call. Options may be nil.
	unary(ctx context.Context, in []byte, o *callOptions) ([]byte, error)
	// stream begins a call with streams on both sides.
	stream(ctx context.Context, o *callOptions) (clientStream, error)
	// close ends the connection and all calls.
	close()
}

// A clientStream is a client's end of a stream.
type clientStream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
	CloseSend() error
	header() (pairs, error)
	trailer() pairs
}

// callOptions are the options of one call.
type callOptions struct {
	send            pairs
	header, trailer *pairs // unary calls only
	waitForReady    bool
	token           *token // of the call; nil for none
}

type serverOptions struct {
	cert     *tls.Certificate // nil: plain text
	addr     string           // empty: a free loopback port
	maxRecv  int              // 0: the library's default
	maxCalls uint32           // concurrent streams of a connection; 0: the default
	maxAge   time.Duration    // of a connection, with a grace of maxGrace; 0: none
	maxGrace time.Duration
	maxIdle  time.Duration        // of a connection; 0: no bound
	conns    *atomic.Int64        // counts the connections, if it is not nil
	strata   []stubs.ServerOption // more for Strata
}

// listen opens the listener of a server.
func (o *serverOptions) listen(t *testing.T) net.Listener {
	t.Helper()
	lis := listen(t, o.addr)
	if o.conns != nil {
		lis = &countingListener{lis, o.conns}
	}
	return lis
}

// A countingListener counts the connections that it accepts.
type countingListener struct {
	net.Listener
	conns *atomic.Int64
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns.Add(1)
	}
	return c, err

}

type clientOptions struct {
	roots      *x509.CertPool // nil: plain text
	serverName string
	maxRecv    int
	maxSend    int
	token      *token // of all calls; nil for none
}

// A runningServer is a server that accepts connections.
type runningServer struct {
	addr string
	// graceful refuses new calls and returns when those that run have ended.
	graceful func(ctx context.Context) error
	// stop ends everything at once.
	stop func()
}

// A pairing is a client's and a server's library.
type pairing struct{ client, server library }

// eachPairing runs a test with Strata on either side and on both.
func eachPairing(t *testing.T, test func(t *testing.T, p pairing)) {
	for _, p := range []pairing{
		{strataLib{}, grpcGoLib{}},
		{grpcGoLib{}, strataLib{}},
		{strataLib{}, strataLib{}},
	} {
		t.Run(p.client.name()+"_to_"+p.server.name(), func(t *testing.T) { test(t, p) })
	}
}

// connect starts a server and a client of it.
func (p pairing) connect(t *testing.T, h handlers) (conn, *runningServer) {
	t.Helper()
	s := p.server.serve(t, h, serverOptions{})
	return p.client.dial(t, s.addr, clientOptions{}), s
}

// testContext returns a context that ends long before the test binary would.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// listen opens a listener on a loopback address, by default on a free port.
// An address that was in use until now is tried for a while.
func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	for ctx := testContext(t); ; time.Sleep(time.Millisecond) {
		lis, err := net.Listen("tcp", addr)
		if err == nil {
			return lis
		}
		if !errors.Is(err, syscall.EADDRINUSE) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// echoStream answers each message with itself.
func echoStream(s serverStream) error {
	for {
		in := new(message)
		if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(in); err != nil {
			return err
		}
	}
}

// newStatus returns a status without details.
func newStatus(c code.Code, text string) *spb.Status {
	return &spb.Status{Code: int32(c), Message: text}
}

// wantCode checks the code of a call's end.
func wantCode(t *testing.T, l library, err error, want code.Code) {
	t.Helper()
	if got := code.Code(l.statusOf(err).GetCode()); got != want {
		t.Fatalf("%s: the call ended with %v (%v), want %v", l.name(), got, err, want)
	}
}

// await waits for a channel to be closed or to deliver.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
		panic("unreachable")
	}
}
