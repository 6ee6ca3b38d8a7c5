package surfacetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	surface "github.com/strata-grpc/strata/layer4_surface"
	"github.com/strata-grpc/strata/layer4_surface/surfacetest/internal/traced"
)

// A Capability is something that not every fixture can do. A case that needs
// one which the fixture lacks is marked so in the table, and not run.
type Capability string

// The capabilities. Fixtures have them all unless they say otherwise.
const (
	// HTTP2: there are frames, so there are pings, stream limits, windows and
	// limits of header lists.
	HTTP2 Capability = "no HTTP/2"
	// ClientChannel: the channel resolves a name and connects, again if need be.
	ClientChannel Capability = "no client_channel"
	// Raw: the link is a [RawLink], which lets a case speak for one of the ends.
	Raw Capability = "no raw bytes"
	// Bulk: megabytes in a moment, which single-byte reads and writes are not
	// good for under the race detector.
	Bulk Capability = "too slow for megabytes"
	// WriteBuffering: a message with transport.FlagBufferHint, and headers with
	// transport.FlagCorked, wait for more to be sent.
	WriteBuffering Capability = "sends all at once"
	// Minutes: time enough, which there is where it is virtual.
	Minutes Capability = "would take too long"
	// Insecure: the connection is plain text.
	Insecure Capability = "secure"
	// Secure: the connection is encrypted and the server authenticated.
	Secure Capability = "insecure"
)

// A Fixture is one way of joining channels to a server.
type Fixture struct {
	// Name heads the column of the table.
	Name string

	// Lacks is what cannot be done here.
	Lacks []Capability

	// Virtual says that there is no I/O outside the process, so that every
	// case runs in a bubble of package synctest: time passes at once, what
	// should not happen is seen not to happen, and a goroutine that is left
	// fails the case.
	Virtual bool

	// Open returns a new link, for one case. What has to end with the case is
	// for t.Cleanup.
	Open func(t testing.TB) Link
}

// A Link is the way from channels to one server at a time.
type Link interface {
	// ServerOptions are what a server has to be made with.
	ServerOptions() []surface.ServerOption

	// Serve makes s the server that channels find and returns at once. Another
	// one may follow when s has shut down.
	Serve(s *surface.Server) error

	// NewChannel returns a channel to the server. Where there is a
	// client_channel it has not connected, and the server may come later.
	NewChannel(opts ...surface.ChannelOption) (*surface.Channel, error)
}

// A RawLink is one that a case can enter below HTTP/2.
type RawLink interface {
	Link

	// Dial connects to the server as a channel does, with the handshakes of
	// security done.
	Dial(ctx context.Context) (net.Conn, error)

	// Listen takes the server's place: channels connect to the listener, whose
	// connections have the handshakes of security done.
	Listen() (net.Listener, error)
}

// Memory returns the fixtures that need nothing but this process: the
// in-process transport, and HTTP/2 on connections in memory: as it is, with a
// trace of both ends that has to be in order, and in single bytes.
func Memory() []Fixture {
	return []Fixture{
		{Name: "inproc", Virtual: true, Lacks: []Capability{HTTP2, ClientChannel, Raw, WriteBuffering, Secure}, Open: openInProcess},
		{Name: "memconn", Virtual: true, Lacks: []Capability{Secure}, Open: openMemory(whole)},
		{Name: "traced", Virtual: true, Lacks: []Capability{Secure}, Open: openTraced},
		{Name: "onebyte", Virtual: true, Lacks: []Capability{Secure, Bulk}, Open: openMemory(memconn.OneByte)},
	}
}

// An inProcess link hands messages over.
type inProcess struct {
	mu     sync.Mutex // a leaf
	server *surface.Server
}

func openInProcess(testing.TB) Link { return new(inProcess) }

func (*inProcess) ServerOptions() []surface.ServerOption { return nil }

func (l *inProcess) Serve(s *surface.Server) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = s
	return nil
}

// NewChannel connects at once: a channel here is one connection.
func (l *inProcess) NewChannel(opts ...surface.ChannelOption) (*surface.Channel, error) {
	l.mu.Lock()
	s := l.server
	l.mu.Unlock()
	if s == nil {
		return nil, errors.New("surfacetest: a channel in the process needs a server first")
	}
	client, server := inproc.Pair(inproc.Config{})
	if err := s.ServeTransport(server); err != nil {
		client.Close()
		return nil, err
	}
	return surface.NewDirectChannel(client, opts...)
}

// A Network is how a link over HTTP/2 gets its connections.
type Network struct {
	// Target is what channels are made for. Authority is what they call the
	// server, empty for what follows from Target.
	Target, Authority string

	// Listen opens the server's listener. It is called again for each server.
	Listen func() (net.Listener, error)

	// Dial connects to the listener. It is the dialer of the channels too
	// unless OwnDialer says that the target is enough.
	Dial      func(ctx context.Context) (net.Conn, error)
	OwnDialer bool

	// Client and Server are the credentials of the ends. Nil is plain text.
	Client, Server credentials.TransportCredentials
}

// NewNetworkLink returns a link over n. Its servers and channels log nothing.
func NewNetworkLink(n Network) RawLink {
	if n.Client == nil {
		n.Client = credentials.NewInsecure()
	}
	return &networkLink{n}
}

type networkLink struct{ Network }

// quiet drops what is logged: cases provoke warnings.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (l *networkLink) ServerOptions() []surface.ServerOption {
	opts := []surface.ServerOption{surface.WithLogger(quiet())}
	if l.Server != nil {
		opts = append(opts, surface.WithCredentials(l.Server))
	}
	return opts
}

// Serve listens and serves. The server closes the listener.
func (l *networkLink) Serve(s *surface.Server) error {
	lis, err := l.Network.Listen()
	if err != nil {
		return err
	}
	s.Start()
	go s.Serve(lis)
	return nil
}

func (l *networkLink) NewChannel(opts ...surface.ChannelOption) (*surface.Channel, error) {
	all := []surface.ChannelOption{surface.WithLogger(quiet()), surface.WithCredentials(l.Client), surface.WithNoProxy()}
	if !l.OwnDialer {
		all = append(all, surface.WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return l.Network.Dial(ctx)
		}))
	}
	if l.Authority != "" {
		all = append(all, surface.WithAuthority(l.Authority))
	}
	return surface.NewChannel(l.Target, append(all, opts...)...)
}

func (l *networkLink) Dial(ctx context.Context) (net.Conn, error) {
	c, err := l.Network.Dial(ctx)
	if err != nil || l.Server == nil {
		return c, err
	}
	secure, _, err := l.Client.ClientHandshake(ctx, l.Authority, c)
	return secure, err
}

func (l *networkLink) Listen() (net.Listener, error) {
	lis, err := l.Network.Listen()
	if err != nil || l.Server == nil {
		return lis, err
	}
	return &secureListener{lis, l.Server}, nil
}

// A secureListener does the server's part of the handshake in Accept.
type secureListener struct {
	net.Listener
	creds credentials.TransportCredentials
}

func (l *secureListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	secure, _, err := l.creds.ServerHandshake(context.Background(), c)
	return secure, err
}

// whole leaves a connection as it is.
func whole(c net.Conn) net.Conn { return c }

// openMemory returns an Open for HTTP/2 on connections in memory, each end of
// which cut changes.
func openMemory(cut func(net.Conn) net.Conn) func(t testing.TB) Link {
	return func(testing.TB) Link {
		m := &memory{cut: cut}
		return NewNetworkLink(Network{Target: "passthrough:///" + Authority, Listen: m.listen, Dial: m.dial})
	}
}

// A tracedLink has what both ends do judged.
type tracedLink struct {
	RawLink
	trace *traced.Trace
	ends  int // for their names
}

// openTraced returns a link in memory whose trace is looked at when the case is
// over.
func openTraced(t testing.TB) Link {
	inMemory := openMemory(whole)(t)
	l := &tracedLink{RawLink: inMemory.(RawLink), trace: traced.New()}
	t.Cleanup(func() {
		for _, fault := range l.trace.Faults() {
			t.Error(fault)
		}
	})
	return l
}

// end returns the sink of one more channel, server or queue.
func (l *tracedLink) end(what string) trace.Sink {
	l.ends++
	return l.trace.Endpoint(fmt.Sprint(what, " ", l.ends))
}

func (l *tracedLink) ServerOptions() []surface.ServerOption {
	return append(l.RawLink.ServerOptions(), surface.WithTrace(l.end("server")))
}

func (l *tracedLink) NewChannel(opts ...surface.ChannelOption) (*surface.Channel, error) {
	return l.RawLink.NewChannel(append([]surface.ChannelOption{surface.WithTrace(l.end("channel"))}, opts...)...)
}

// Authority is what the servers of all fixtures over HTTP/2 are called.
const Authority = "end2end.test"

// memory is an address in memory, at which one listener at a time can be.
type memory struct {
	cut func(net.Conn) net.Conn

	mu  sync.Mutex // a leaf
	lis *memconn.Listener
}

func (m *memory) listen() (net.Listener, error) {
	lis := memconn.Listen()
	m.mu.Lock()
	m.lis = lis
	m.mu.Unlock()
	return &cutListener{lis, m.cut}, nil
}

func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	m.mu.Lock()
	lis := m.lis
	m.mu.Unlock()
	if lis == nil {
		return nil, errors.New("surfacetest: nobody listens")
	}
	c, err := lis.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return m.cut(c), nil
}

// A cutListener changes what it accepts.
type cutListener struct {
	net.Listener
	cut func(net.Conn) net.Conn
}

func (l *cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.cut(c), nil
}
