// Package metadata holds the key-value pairs that travel with a call: headers
// before the first message and trailers after the last.
//
// There are two forms. [MD] is the map that applications see. [List] is the
// ordered list in which metadata travels through the layers; an MD is built
// from it only when somebody asks.
package metadata

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// MD is metadata as applications see it: keys in lower case to their values in
// order. Values of keys that end in "-bin" are any bytes; they are encoded on
// the wire only.
//
// MD converts to and from grpc-go's type of the same name without copying.
type MD map[string][]string

// New returns an MD with one value for each key of m.
func New(m map[string]string) MD {
	md := make(MD, len(m))
	for k, v := range m {
		md.Append(k, v)
	}
	return md
}

// Pairs returns an MD from alternating keys and values. It panics if there is
// a key without a value, which is a mistake in the program.
func Pairs(kv ...string) MD {
	if len(kv)%2 == 1 {
		panic(fmt.Sprintf("metadata: Pairs got %d strings; the last key has no value", len(kv)))
	}
	md := make(MD, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		md.Append(kv[i], kv[i+1])
	}
	return md
}

// Join returns the pairs of all mds, in order.
func Join(mds ...MD) MD {
	out := MD{}
	for _, md := range mds {
		for k, v := range md {
			out[strings.ToLower(k)] = append(out[strings.ToLower(k)], v...)
		}
	}
	return out
}

// Len returns the number of keys.
func (md MD) Len() int { return len(md) }

// Copy returns a copy that shares nothing with md.
func (md MD) Copy() MD { return Join(md) }

// Get returns the values of key, in any case of letters.
func (md MD) Get(key string) []string { return md[strings.ToLower(key)] }

// Set replaces the values of key. Without values it does nothing.
func (md MD) Set(key string, values ...string) {
	if len(values) > 0 {
		md[strings.ToLower(key)] = values
	}
}

// Append adds values to those of key.
func (md MD) Append(key string, values ...string) {
	if len(values) > 0 {
		k := strings.ToLower(key)
		md[k] = append(md[k], values...)
	}
}

// Delete removes key and its values.
func (md MD) Delete(key string) { delete(md, strings.ToLower(key)) }

// String lists the keys with the number of their values. It leaves the values
// out, since they may be secrets.
func (md MD) String() string {
	keys := make([]string, 0, len(md))
	for k, v := range md {
		keys = append(keys, fmt.Sprintf("%s:%d", k, len(v)))
	}
	slices.Sort(keys)
	return "MD[" + strings.Join(keys, " ") + "]"
}

// GoString is String, so that %#v shows no values either.
func (md MD) GoString() string { return md.String() }

type (
	outgoingKey struct{}
	incomingKey struct{}
)

// NewOutgoingContext returns a context whose calls send md. It replaces what
// ctx had; md must not be modified afterwards.
func NewOutgoingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, outgoingKey{}, md)
}

// AppendToOutgoingContext returns a context whose calls also send the pairs
// kv, alternating keys and values. It panics if a key has no value.
func AppendToOutgoingContext(ctx context.Context, kv ...string) context.Context {
	old, _ := ctx.Value(outgoingKey{}).(MD)
	return NewOutgoingContext(ctx, Join(old, Pairs(kv...)))
}

// FromOutgoingContext returns a copy of what calls with ctx send.
func FromOutgoingContext(ctx context.Context) (MD, bool) {
	md, ok := ctx.Value(outgoingKey{}).(MD)
	if !ok {
		return nil, false
	}
	return md.Copy(), true
}

// Outgoing returns what calls with ctx send, without copying. The result is
// read-only. It is for the layers above; applications use FromOutgoingContext.
func Outgoing(ctx context.Context) MD {
	md, _ := ctx.Value(outgoingKey{}).(MD)
	return md
}

// NewIncomingContext returns a context that carries md as received.
func NewIncomingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, incomingKey{}, md)
}

// FromIncomingContext returns a copy of the metadata that a handler received.
func FromIncomingContext(ctx context.Context) (MD, bool) {
	md, ok := ctx.Value(incomingKey{}).(MD)
	if !ok {
		return nil, false
	}
	return md.Copy(), true
}

// ValueFromIncomingContext returns a copy of the values of one key.
func ValueFromIncomingContext(ctx context.Context, key string) []string {
	md, _ := ctx.Value(incomingKey{}).(MD)
	return slices.Clone(md.Get(key))
}

// IncomingKey is the key under which a context of the library answers Value
// with the MD that was received. It is for implementations of context.Context;
// use FromIncomingContext.
func IncomingKey() any { return incomingKey{} }
