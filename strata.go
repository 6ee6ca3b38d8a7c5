package strata

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// Clients.
type (
	// A ClientConn makes calls to a target; see [stubs.ClientConn].
	ClientConn = stubs.ClientConn
	// A DialOption configures a ClientConn; see [stubs.DialOption].
	DialOption = stubs.DialOption
	// A CallOption configures one call; see [stubs.CallOption].
	CallOption = stubs.CallOption
	// A State is how far a ClientConn is from carrying calls; see [connectivity.State].
	State = connectivity.State
)

// NewClient returns a channel to target; see [stubs.NewClient].
func NewClient(target string, opts ...DialOption) (*ClientConn, error) {
	return stubs.NewClient(target, opts...)
}

// WithTransportCredentials secures the connections; see [stubs.WithTransportCredentials].
func WithTransportCredentials(c Credentials) DialOption { return stubs.WithTransportCredentials(c) }

// WithPerRPCCredentials send a token with every call; see [stubs.WithPerRPCCredentials].
func WithPerRPCCredentials(c credentials.PerRPCCredentials) DialOption {
	return stubs.WithPerRPCCredentials(c)
}

// WithUserAgent names the program; see [stubs.WithUserAgent].
func WithUserAgent(s string) DialOption { return stubs.WithUserAgent(s) }

// WithUnaryInterceptors stand around unary calls; see [stubs.WithChainUnaryInterceptor].
func WithUnaryInterceptors(chain ...stubs.UnaryClientInterceptor) DialOption {
	return stubs.WithChainUnaryInterceptor(chain...)
}

// WithStreamInterceptors stand around calls with streams; see [stubs.WithChainStreamInterceptor].
func WithStreamInterceptors(chain ...stubs.StreamClientInterceptor) DialOption {
	return stubs.WithChainStreamInterceptor(chain...)
}

// WithDefaultCallOptions apply to every call; see [stubs.WithDefaultCallOptions].
func WithDefaultCallOptions(opts ...CallOption) DialOption {
	return stubs.WithDefaultCallOptions(opts...)
}

// PerRPCCredentials send a token with a call; see [stubs.PerRPCCredentials].
func PerRPCCredentials(c credentials.PerRPCCredentials) CallOption {
	return stubs.PerRPCCredentials(c)
}

// Header stores the headers of a response; see [stubs.Header].
func Header(md *MD) CallOption { return stubs.Header(md) }

// Trailer stores the trailers of a response; see [stubs.Trailer].
func Trailer(md *MD) CallOption { return stubs.Trailer(md) }

// PeerOf stores who answered; see [stubs.Peer].
func PeerOf(p *Peer) CallOption { return stubs.Peer(p) }

// WaitForReady makes a call wait for a connection; see [stubs.WaitForReady].
func WaitForReady(wait bool) CallOption { return stubs.WaitForReady(wait) }

// MaxCallRecvMsgSize bounds the messages of a response; see [stubs.MaxCallRecvMsgSize].
func MaxCallRecvMsgSize(bytes int) CallOption { return stubs.MaxCallRecvMsgSize(bytes) }

// Servers.
type (
	// A Server serves services; see [stubs.Server].
	Server = stubs.Server
	// A ServerOption configures a Server; see [stubs.ServerOption].
	ServerOption = stubs.ServerOption
	// A ServiceDesc describes a service; see [stubs.ServiceDesc].
	ServiceDesc = stubs.ServiceDesc
)

// ErrServerStopped is returned by Serve after Shutdown; see [stubs.ErrServerStopped].
var ErrServerStopped = stubs.ErrServerStopped

// NewServer returns a server without services; see [stubs.NewServer].
func NewServer(opts ...ServerOption) *Server { return stubs.NewServer(opts...) }

// Creds secures the connections of a server; see [stubs.Creds].
func Creds(c Credentials) ServerOption { return stubs.Creds(c) }

// MaxRecvMsgSize bounds the messages of requests; see [stubs.MaxRecvMsgSize].
func MaxRecvMsgSize(bytes int) ServerOption { return stubs.MaxRecvMsgSize(bytes) }

// MaxConcurrentStreams bounds the calls of a connection; see [stubs.MaxConcurrentStreams].
func MaxConcurrentStreams(n uint32) ServerOption { return stubs.MaxConcurrentStreams(n) }

// ConnectionTimeout bounds the handshakes; see [stubs.ConnectionTimeout].
func ConnectionTimeout(d time.Duration) ServerOption { return stubs.ConnectionTimeout(d) }

// UnaryInterceptors stand around unary calls; see [stubs.ChainUnaryInterceptor].
func UnaryInterceptors(chain ...stubs.UnaryServerInterceptor) ServerOption {
	return stubs.ChainUnaryInterceptor(chain...)
}

// StreamInterceptors stand around calls with streams; see [stubs.ChainStreamInterceptor].
func StreamInterceptors(chain ...stubs.StreamServerInterceptor) ServerOption {
	return stubs.ChainStreamInterceptor(chain...)
}

// SetHeader adds to the headers of a handler's response; see [stubs.SetHeader].
func SetHeader(ctx context.Context, md MD) error { return stubs.SetHeader(ctx, md) }

// SetTrailer adds to the trailers of a handler's response; see [stubs.SetTrailer].
func SetTrailer(ctx context.Context, md MD) error { return stubs.SetTrailer(ctx, md) }

// Draining tells a handler that the server shuts down; see [stubs.Draining].
func Draining(ctx context.Context) <-chan struct{} { return stubs.Draining(ctx) }

// Both.

// An Option configures clients and servers; see [stubs.Option].
type Option = stubs.Option

// WithLogger sets where warnings go; see [stubs.WithLogger].
func WithLogger(l *slog.Logger) Option { return stubs.WithLogger(l) }

// WithTrace sends the events of all layers to sink; see [stubs.WithTrace].
func WithTrace(sink trace.Sink) Option { return stubs.WithTrace(sink) }

// Status.
type (
	// A Code is a status code; see [status.Code].
	Code = status.Code
	// A Status is the result of a call; see [status.Status].
	Status = status.Status
)

// The codes that programs use most; package status has all of them.
const (
	OK                = status.OK
	Canceled          = status.Canceled
	Unknown           = status.Unknown
	InvalidArgument   = status.InvalidArgument
	DeadlineExceeded  = status.DeadlineExceeded
	NotFound          = status.NotFound
	PermissionDenied  = status.PermissionDenied
	ResourceExhausted = status.ResourceExhausted
	Unimplemented     = status.Unimplemented
	Internal          = status.Internal
	Unavailable       = status.Unavailable
	Unauthenticated   = status.Unauthenticated
)

// Errorf returns an error with a code; see [status.Errorf].
func Errorf(c Code, format string, args ...any) error { return status.Errorf(c, format, args...) }

// StatusOf returns the status behind err; see [status.Convert].
func StatusOf(err error) *Status { return status.Convert(err) }

// CodeOf returns the code behind err; see [status.CodeOf].
func CodeOf(err error) Code { return status.CodeOf(err) }

// Metadata and peers.
type (
	// MD is metadata; see [metadata.MD].
	MD = metadata.MD
	// A Peer is the other end of a connection; see [peer.Peer].
	Peer = peer.Peer
)

// Pairs returns metadata from keys and values; see [metadata.Pairs].
func Pairs(kv ...string) MD { return metadata.Pairs(kv...) }

// AppendToOutgoingContext adds to what calls send; see [metadata.AppendToOutgoingContext].
func AppendToOutgoingContext(ctx context.Context, kv ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, kv...)
}

// FromIncomingContext returns what a handler received; see [metadata.FromIncomingContext].
func FromIncomingContext(ctx context.Context) (MD, bool) { return metadata.FromIncomingContext(ctx) }

// PeerFromContext returns a handler's client; see [peer.FromContext].
func PeerFromContext(ctx context.Context) (*Peer, bool) { return peer.FromContext(ctx) }

// Credentials secure connections; see [credentials.TransportCredentials].
type Credentials = credentials.TransportCredentials

// InsecureCredentials are plain text; see [credentials.NewInsecure].
func InsecureCredentials() Credentials { return credentials.NewInsecure() }

// TLSCredentials secure connections with TLS; see [credentials.NewTLS].
func TLSCredentials(cfg *tls.Config) Credentials { return credentials.NewTLS(cfg) }
