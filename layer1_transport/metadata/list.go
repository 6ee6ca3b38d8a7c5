package metadata

import (
	"fmt"
	"strings"
	"time"
)

// A List is metadata on its way through the layers: the fields that HTTP/2 and
// gRPC define in slots of their own, everything else as ordered pairs. Values
// are decoded: the transport alone knows the codings of the wire.
//
// A List belongs to one call at a time and is reused; it is not safe for
// concurrent use. Its zero value is empty.
type List struct {
	Known

	// Deadline is when the call must have ended; zero is never. On the wire
	// it is the gRPC-HTTP2 Timeout that is left when the headers are written.
	Deadline time.Time

	// Status and Message are grpc-status and grpc-message, if HasStatus.
	Status    uint32
	HasStatus bool
	Message   string

	pairs []Pair
}

// Known are the fields with a slot. An empty string is an absent field. The
// struct is comparable, so that a transport can tell a block that it has
// encoded before.
type Known struct {
	// Pseudo-header fields. RFC 9113 §8.3. HTTPStatus is ":status".
	Method, Scheme, Path, Authority, HTTPStatus string

	ContentType, UserAgent, TE string

	// Encoding is grpc-encoding, AcceptEncoding grpc-accept-encoding.
	Encoding, AcceptEncoding string
}

// A Pair is one field of metadata.
type Pair struct {
	Key, Value string
}

// Reset empties the list and keeps its memory.
func (l *List) Reset() {
	clear(l.pairs)
	*l = List{pairs: l.pairs[:0]}
}

// Len returns the number of pairs, slots not counted.
func (l *List) Len() int { return len(l.pairs) }

// Pairs returns the pairs in order, valid until the list changes.
func (l *List) Pairs() []Pair { return l.pairs }

// Append adds a pair. The key is in lower case and none of those with a slot.
func (l *List) Append(key, value string) { l.pairs = append(l.pairs, Pair{key, value}) }

// Get returns the first value of key.
func (l *List) Get(key string) (value string, ok bool) {
	for i := range l.pairs {
		if l.pairs[i].Key == key {
			return l.pairs[i].Value, true
		}
	}
	return "", false
}

// Delete removes every pair with that key.
func (l *List) Delete(key string) {
	kept := l.pairs[:0]
	for _, p := range l.pairs {
		if p.Key != key {
			kept = append(kept, p)
		}
	}
	clear(l.pairs[len(kept):])
	l.pairs = kept
}

// SetStatus fills the slots of grpc-status and grpc-message.
func (l *List) SetStatus(code uint32, message string) {
	l.Status, l.HasStatus, l.Message = code, true, message
}

// AppendMD adds the pairs of md, with keys in lower case.
func (l *List) AppendMD(md MD) {
	for k, values := range md {
		k = strings.ToLower(k)
		for _, v := range values {
			l.Append(k, v)
		}
	}
}

// MD returns the pairs as a map, nil if there are none.
func (l *List) MD() MD {
	if len(l.pairs) == 0 {
		return nil
	}
	md := make(MD, len(l.pairs))
	for _, p := range l.pairs {
		md[p.Key] = append(md[p.Key], p.Value)
	}
	return md
}

// CopyFrom makes l a copy of other that shares no memory that changes.
func (l *List) CopyFrom(other *List) {
	pairs := append(l.pairs[:0], other.pairs...)
	clear(l.pairs[min(len(pairs), len(l.pairs)):])
	*l = *other
	l.pairs = pairs
}

// String lists keys and the number of pairs, without values.
func (l *List) String() string {
	keys := make([]string, len(l.pairs))
	for i, p := range l.pairs {
		keys[i] = p.Key
	}
	return fmt.Sprintf("List[path=%s %s]", l.Path, strings.Join(keys, " "))
}

// GoString is String, so that %#v shows no values either.
func (l *List) GoString() string { return l.String() }
