package metadata

import (
	"context"
	"slices"
)

type (
	outgoingKey struct{}
	incomingKey struct{}
)

// A context holds an MD by a pointer, because package fmt shows with %#v what
// a context holds without asking how it wants to be shown, but stops at
// pointers. Contexts of the library answer Value with an MD itself.

// from returns the MD that ctx holds under key, without copying.
func from(ctx context.Context, key any) (MD, bool) {
	switch v := ctx.Value(key).(type) {
	case *MD:
		return *v, true
	case MD:
		return v, true
	}
	return nil, false
}

// copyFrom returns a copy of the MD that ctx holds under key.
func copyFrom(ctx context.Context, key any) (MD, bool) {
	md, ok := from(ctx, key)
	if !ok {
		return nil, false
	}
	return md.Copy(), true
}

// NewOutgoingContext returns a context whose calls send md. It replaces what
// ctx had; md must not be modified afterwards.
func NewOutgoingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, outgoingKey{}, &md)
}

// AppendToOutgoingContext returns a context whose calls also send the pairs
// kv, alternating keys and values. It panics if a key has no value.
func AppendToOutgoingContext(ctx context.Context, kv ...string) context.Context {
	return NewOutgoingContext(ctx, Join(Outgoing(ctx), Pairs(kv...)))
}

// FromOutgoingContext returns a copy of what calls with ctx send.
func FromOutgoingContext(ctx context.Context) (MD, bool) {
	return copyFrom(ctx, outgoingKey{})
}

// Outgoing returns what calls with ctx send, without copying. The result is
// read-only. It is for the layers above; applications use FromOutgoingContext.
func Outgoing(ctx context.Context) MD {
	md, _ := from(ctx, outgoingKey{})
	return md
}

// ValueFromOutgoingContext returns a copy of the values of one key.
func ValueFromOutgoingContext(ctx context.Context, key string) []string {
	return slices.Clone(Outgoing(ctx).Get(key))
}

// NewIncomingContext returns a context that carries md as received. md must
// not be modified afterwards.
func NewIncomingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, incomingKey{}, &md)
}

// FromIncomingContext returns a copy of the metadata that a handler received.
func FromIncomingContext(ctx context.Context) (MD, bool) {
	return copyFrom(ctx, incomingKey{})
}

// ValueFromIncomingContext returns a copy of the values of one key.
func ValueFromIncomingContext(ctx context.Context, key string) []string {
	md, _ := from(ctx, incomingKey{})
	return slices.Clone(md.Get(key))
}

// IncomingKey is the key under which a context of the library answers Value
// with the MD that was received. It is for implementations of context.Context;
// use FromIncomingContext.
func IncomingKey() any { return incomingKey{} }
