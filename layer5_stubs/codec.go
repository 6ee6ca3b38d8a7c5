package stubs

import (
	"google.golang.org/protobuf/proto"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
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
