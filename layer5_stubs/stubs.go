package stubs

import (
	"context"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// SupportPackageIsVersion1 is named by generated code. It stands for the
// promises that this package makes to such code; when those change, the next
// version is declared beside it.
const SupportPackageIsVersion1 = true

// A ClientConnInterface makes calls. Generated clients take one, so that a
// program can put something of its own in the place of a [ClientConn].
type ClientConnInterface interface {
	// Invoke makes a unary call: it sends args, waits, and fills reply.
	Invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error

	// NewStream begins a call with a stream on either side.
	NewStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error)
}

// A ClientStream is a client's end of a call with a stream.
//
// One goroutine may be in SendMsg or CloseSend and another one in RecvMsg at a
// time; all other methods may be called whenever one likes.
//
// The call ends when RecvMsg has returned an error, io.EOF included, when its
// context ends, or with Close. One of the three has to happen, or the call
// stays open.
type ClientStream interface {
	// Header waits for the server's headers. They are nil, without an error,
	// if the call ended properly without any.
	Header() (metadata.MD, error)

	// Trailer returns the server's trailers. It is nil until the call ended.
	Trailer() metadata.MD

	// CloseSend says that no more messages come. Receiving goes on.
	CloseSend() error

	// Context returns the context that the call was begun with.
	Context() context.Context

	// SendMsg sends a message and returns when flow control has let it pass,
	// which does not mean that the server has it. It is io.EOF when the call
	// has ended, and RecvMsg says why. m may be modified afterwards.
	//
	// Where the client sends one message only, the end of the call is never
	// io.EOF here: the error is the call's status, and nil leaves it to RecvMsg.
	SendMsg(m any) error

	// RecvMsg receives a message into m. It is io.EOF when the call ended
	// with OK and all messages were received; every other error is the call's
	// status.
	RecvMsg(m any) error

	// Close ends the call if it has not ended, with CANCELLED, so that
	// "defer stream.Close()" leaves nothing running. It never fails and may be
	// called again.
	Close() error
}

// A ServerStream is a server's end of a call with a stream. It is valid until
// the handler returns.
//
// One goroutine may be in SetHeader, SendHeader or SendMsg and another one in
// RecvMsg at a time; all other methods may be called whenever one likes.
type ServerStream interface {
	// SetHeader adds to the headers, which go out with SendHeader, the first
	// message or the status.
	SetHeader(metadata.MD) error

	// SendHeader adds to the headers and sends them. It is for once only.
	SendHeader(metadata.MD) error

	// SetTrailer adds to the trailers. Pairs that cannot be sent are logged
	// and left out.
	SetTrailer(metadata.MD)

	// Context returns the context of the call, which ends with it.
	Context() context.Context

	// SendMsg sends a message and returns when flow control has let it pass.
	// An error is the end of the call. m may be modified afterwards.
	SendMsg(m any) error

	// RecvMsg receives a message into m. It is io.EOF when the client sends no
	// more; every other error is the end of the call.
	RecvMsg(m any) error
}

// A StreamDesc describes a method with a stream on either side.
type StreamDesc struct {
	// StreamName is the method's name without the service.
	StreamName string

	// Handler serves the method. Clients need none.
	Handler StreamHandler

	// ServerStreams and ClientStreams say who may send any number of messages.
	ServerStreams bool
	ClientStreams bool
}

// A StreamHandler serves one call. The error that it returns ends the call.
type StreamHandler func(srv any, stream ServerStream) error

// A MethodDesc describes a unary method.
type MethodDesc struct {
	// MethodName is the method's name without the service.
	MethodName string
	Handler    MethodHandler
}

// A MethodHandler serves one unary call: it decodes the request with dec and
// calls srv's method, through interceptor if that is not nil.
type MethodHandler func(srv any, ctx context.Context, dec func(any) error, interceptor UnaryServerInterceptor) (any, error)

// A ServiceDesc describes a service to a server. Generated code has one for
// each; it is not modified once it was registered.
type ServiceDesc struct {
	// ServiceName is the full name, "package.Service".
	ServiceName string

	// HandlerType is a nil pointer to the interface that implementations have.
	// Nil leaves them unchecked.
	HandlerType any

	Methods []MethodDesc
	Streams []StreamDesc

	// Metadata is whatever describes the service's source, by convention the
	// name of its .proto file.
	Metadata any
}

// A ServiceRegistrar takes services. Generated code registers with one.
type ServiceRegistrar interface {
	// RegisterService makes impl serve what desc describes. It panics if impl
	// does not fit, which is a mistake in the program.
	RegisterService(desc *ServiceDesc, impl any)
}

// Unimplemented returns what a method that a server lacks answers.
func Unimplemented(method string) error {
	return status.Errorf(status.Unimplemented, "method %s not implemented", method)
}
