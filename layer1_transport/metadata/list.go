package metadata

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
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

	// ContentLength is how many bytes of DATA the peer announced, if
	// HasContentLength. It is received only. RFC 9113 §8.1.1.
	ContentLength    int64
	HasContentLength bool

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

// maxKept bounds the pairs whose memory a list keeps from one call to the
// next, 32 bytes each: one call with a thousand must not cost every later one.
const maxKept = 64

// Reset empties the list and keeps its memory.
func (l *List) Reset() {
	pairs := l.pairs
	if cap(pairs) > maxKept {
		pairs = nil
	}
	clear(pairs)
	*l = List{pairs: pairs[:0]}
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
	l.pairs = slices.DeleteFunc(l.pairs, func(p Pair) bool { return p.Key == key })
}

// Truncate removes the pairs behind the first n, so that a layer can take back
// what it has added.
func (l *List) Truncate(n int) {
	clear(l.pairs[n:])
	l.pairs = l.pairs[:n]
}

// SetStatus fills the slots of grpc-status and grpc-message.
func (l *List) SetStatus(code uint32, message string) {
	l.Status, l.HasStatus, l.Message = code, true, message
}

// AppendMD adds the pairs of md, with keys in lower case and in the order of
// the keys, so that the same call looks the same every time.
func (l *List) AppendMD(md MD) {
	if len(md) == 0 {
		return
	}
	var room [16]string // so that usual metadata needs no memory for its keys
	keys := room[:0]
	for k := range md {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		lower := strings.ToLower(k)
		for _, v := range md[k] {
			l.Append(lower, v)
		}
	}
}

// MD returns the pairs as a map, nil if there are none.
func (l *List) MD() MD {
	if len(l.pairs) == 0 {
		return nil
	}
	md := make(MD, len(l.pairs))
	values := make([]string, len(l.pairs)) // one allocation for all keys with one value
	for i, p := range l.pairs {
		if old, ok := md[p.Key]; ok {
			md[p.Key] = append(old, p.Value)
			continue
		}
		values[i] = p.Value
		md[p.Key] = values[i : i+1 : i+1]
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

// The methods below print a list without the values of the application and
// without the status message, since either may hold secrets. They are on the
// value, because a list that is printed as part of something else would be
// shown in full otherwise.

// String lists the path and the keys.
func (l List) String() string {
	keys := make([]string, len(l.pairs))
	for i, p := range l.pairs {
		keys[i] = p.Key
	}
	return fmt.Sprintf("List[path=%s %s]", l.Path, strings.Join(keys, " "))
}

// Format writes String for every verb.
func (l List) Format(w fmt.State, _ rune) { writeString(w, l.String()) }

// LogValue is String, for package slog.
func (l List) LogValue() slog.Value { return slog.StringValue(l.String()) }

// String returns the key.
func (p Pair) String() string { return "Pair[" + p.Key + "]" }

// Format writes String for every verb.
func (p Pair) Format(w fmt.State, _ rune) { writeString(w, p.String()) }

// LogValue is String, for package slog.
func (p Pair) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText is String, for encodings such as that of package slog in JSON,
// which do not ask the elements of a slice for their LogValue.
func (p Pair) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// writeString writes s. Package fmt collects in memory and never fails.
func writeString(w fmt.State, s string) { _, _ = io.WriteString(w, s) }
