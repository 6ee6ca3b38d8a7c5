package stubs

import (
	"context"

	"google.golang.org/protobuf/proto"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// marshal returns m in a pooled buffer, with one reference. What is wrong is an
// INTERNAL status: the program, not its peer, has made a mistake. side is
// "client" or "server".
func marshal(side string, m any) (*transport.Buffer, error) {
	msg, ok := m.(proto.Message)
	if !ok {
		return nil, notProto(side, "send", m)
	}
	size := proto.Size(msg)
	buf := transport.NewBuffer(size)
	data, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf.Bytes()[:0], msg)
	if err != nil {
		buf.Release()
		return nil, status.Newf(status.Internal, "stubs: %s: marshalling %T: %v", side, m, err).WithCause(err)
	}
	buf.SetBytes(data)
	return buf, nil
}

// unmarshal fills m from buf, whose reference stays with the caller.
func unmarshal(side string, buf *transport.Buffer, m any) error {
	msg, ok := m.(proto.Message)
	if !ok {
		return notProto(side, "receive into", m)
	}
	if err := proto.Unmarshal(buf.Bytes(), msg); err != nil {
		return status.Newf(status.Internal, "stubs: %s: unmarshalling %d bytes as %T: %v", side, buf.Len(), m, err).WithCause(err)
	}
	return nil
}

// notProto words the mistake of a message that no codec knows.
func notProto(side, what string, m any) error {
	if m == nil {
		return status.Errorf(status.Internal, "stubs: %s: cannot %s nil: it is not a proto.Message", side, what)
	}
	return status.Errorf(status.Internal, "stubs: %s: cannot %s %T: it is not a proto.Message", side, what, m)
}

// A sizeLimit bounds messages by an option. Its zero value is no bound.
type sizeLimit struct {
	bytes  int
	option string // for the error
}

// check returns RESOURCE_EXHAUSTED if a message is too long. verb is "send" or
// "receive".
func (l sizeLimit) check(side, verb string, size int) error {
	if l.option == "" || size <= l.bytes {
		return nil
	}
	return status.Errorf(status.ResourceExhausted, "stubs: %s: cannot %s a message of %d bytes, the limit is %d (%s option %s)",
		side, verb, size, l.bytes, side, l.option)
}

// limitOf returns the limit that an option sets, of at least nothing.
func limitOf(bytes int, option string) sizeLimit { return sizeLimit{max(bytes, 0), option} }

// A Compressor is a coding of messages, such as [encoding.Gzip]. It has the
// methods of grpc-go's interface of that name.
type Compressor = encoding.Compressor

// A CompressionConfig says how messages are coded.
type CompressionConfig = compression.Config

// WithCompression says which codings of messages are known and what is
// compressed. Without it gzip and deflate are read and nothing is compressed
// unless a call asks for it: a client with [UseCompressor], a server with
// [SetSendCompressor]. With an error in cfg NewClient fails and NewServer panics.
//
// Nothing is compressed in the process, where messages are handed over.
// KeepCompressed is for layer 4 and ignored: stubs read what is in a message.
func WithCompression(cfg CompressionConfig) Option {
	cfg.KeepCompressed = false
	return endOption(func(c *endConfig) { c.compression = cfg })
}

// UseCompressor has the messages that a call sends compressed: "gzip",
// "deflate", the name of another one in [WithCompression], or "identity" for a
// call that is not to follow the client's default. What is shorter than 256
// bytes, or would not get shorter, is sent as it is.
//
// A server that does not know the coding ends the call with UNIMPLEMENTED, a
// client that does not know it with INTERNAL.
func UseCompressor(name string) CallOption {
	return callOption(func(c *callConfig) { c.compressor = name })
}

// ResponseCompressed has what the server's message was sent as stored in p:
// true if it came compressed. Of a stream it is the last message that RecvMsg
// has returned.
func ResponseCompressed(p *bool) CallOption {
	return callOption(func(c *callConfig) { c.compressed = p })
}

// note stores whether buf came compressed for whoever asked.
func (c *callConfig) note(buf *transport.Buffer) {
	if c.compressed != nil {
		*c.compressed = buf.WireLen > 0
	}
}

// Uncompressed returns m as a message that is sent as it is on a stream whose
// other messages are compressed, in SendMsg and in Invoke. Secrets should not be
// compressed together with what an attacker can choose, since the length then
// tells of them.
func Uncompressed(m proto.Message) proto.Message { return uncompressed{m} }

// An uncompressed is a message that says how it wants to be sent.
type uncompressed struct{ proto.Message }

// messageFlags are the flags with which m is sent.
func messageFlags(m any) uint32 {
	if _, ok := m.(uncompressed); ok {
		return transport.FlagNoCompress
	}
	return 0
}

// SetSendCompressor has the messages that a handler sends compressed by name,
// or as they are with "identity". It fails where the server does not know the
// coding, where the client does not accept it, and once headers have gone out.
func SetSendCompressor(ctx context.Context, name string) error {
	c, err := handlerOf(ctx)
	if err != nil {
		return err
	}
	if err := c.method.server.codings.Check(name); err != nil {
		return status.Newf(status.Internal, "stubs: server: SetSendCompressor on %s: %v", c.method.path, err).WithCause(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.call == nil:
		return c.tooLate("SetSendCompressor")
	case c.call.response.headerSent:
		return status.Errorf(status.Internal, "stubs: server: SetSendCompressor on %s after the headers were sent", c.method.path)
	case name != "" && name != encoding.Identity && !encoding.Accepts(c.call.req.Metadata.AcceptEncoding, name):
		return status.Errorf(status.Internal, "stubs: server: SetSendCompressor on %s: the client does not accept compressor %q", c.method.path, name)
	}
	c.call.response.compressor = name
	return nil
}

// ClientSupportedCompressors returns the codings that the client of a handler's
// call accepts, in its order and without "identity", which everybody does.
func ClientSupportedCompressors(ctx context.Context) ([]string, error) {
	c, err := handlerOf(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil {
		return nil, c.tooLate("ClientSupportedCompressors")
	}
	return encoding.Split(c.call.req.Metadata.AcceptEncoding), nil
}

// RequestCompressed reports whether the message that a handler has received
// last came compressed.
func RequestCompressed(ctx context.Context) bool {
	c, err := handlerOf(ctx)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.call != nil && c.call.compressed.Load()
}

// noteRequest remembers how a message of a stream came.
func (c *handlerContext) noteRequest(buf *transport.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil {
		c.call.noteRequest(buf)
	}
}

// noteRequest remembers how a message came.
func (c *serverCall) noteRequest(buf *transport.Buffer) {
	c.compressed.Store(buf.WireLen > 0)
}

// takeHeader returns the headers of the response for who is about to send them,
// nil for none. The coding of the messages is among them.
func (r *response) takeHeader() *metadata.List {
	header := r.header
	if r.compressor != "" {
		if header == nil {
			header = new(metadata.List)
		}
		header.Encoding = r.compressor
	}
	return header
}
