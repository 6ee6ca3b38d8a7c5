package metadata

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutgoingContext(t *testing.T) {
	empty := context.Background()
	if md, ok := FromOutgoingContext(empty); md != nil || ok {
		t.Errorf("a context without metadata has %v", md)
	}
	if Outgoing(empty) != nil || ValueFromOutgoingContext(empty, "k") != nil {
		t.Error("a context without metadata has some")
	}
	ctx := NewOutgoingContext(empty, Pairs("k", "1"))
	more := AppendToOutgoingContext(ctx, "K", "2", "b", "3")
	replaced := NewOutgoingContext(more, Pairs("c", "4"))
	for _, tc := range []struct {
		name string
		ctx  context.Context
		want MD
	}{
		{"new", ctx, MD{"k": {"1"}}},
		{"appended", more, MD{"k": {"1", "2"}, "b": {"3"}}},
		{"appended to none", AppendToOutgoingContext(empty, "k", "1"), MD{"k": {"1"}}},
		{"replaced", replaced, MD{"c": {"4"}}},
	} {
		got, ok := FromOutgoingContext(tc.ctx)
		if diff := cmp.Diff(tc.want, got); diff != "" || !ok {
			t.Errorf("%s: %v\n%s", tc.name, ok, diff)
		}
		if diff := cmp.Diff(tc.want, Outgoing(tc.ctx)); diff != "" {
			t.Errorf("%s: Outgoing\n%s", tc.name, diff)
		}
	}
	got, _ := FromOutgoingContext(more)
	got["k"][0] = "changed"
	values := ValueFromOutgoingContext(more, "K")
	values[1] = "changed"
	if diff := cmp.Diff(MD{"k": {"1", "2"}, "b": {"3"}}, Outgoing(more)); diff != "" {
		t.Errorf("a copy is none:\n%s", diff)
	}
	if _, ok := FromIncomingContext(more); ok {
		t.Error("what is sent is also received")
	}
	defer func() {
		if recover() == nil {
			t.Error("AppendToOutgoingContext takes a key without a value")
		}
	}()
	AppendToOutgoingContext(ctx, strings.Fields("alone")...)
}

// libraryContext answers Value as the contexts of handlers do.
type libraryContext struct {
	context.Context
	md MD
}

func (c libraryContext) Value(key any) any {
	if key == IncomingKey() {
		return c.md
	}
	return c.Context.Value(key)
}

func TestIncomingContext(t *testing.T) {
	if md, ok := FromIncomingContext(context.Background()); md != nil || ok {
		t.Errorf("a context without metadata has %v", md)
	}
	for name, ctx := range map[string]context.Context{
		"a context value":          NewIncomingContext(context.Background(), MD{"k": {"1", "2"}}),
		"a context of the library": libraryContext{context.Background(), MD{"k": {"1", "2"}}},
	} {
		got, ok := FromIncomingContext(ctx)
		if diff := cmp.Diff(MD{"k": {"1", "2"}}, got); diff != "" || !ok {
			t.Errorf("%s: %v\n%s", name, ok, diff)
		}
		got["k"][0] = "changed"
		values := ValueFromIncomingContext(ctx, "K")
		if diff := cmp.Diff([]string{"1", "2"}, values); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		values[0] = "changed"
		if again := ValueFromIncomingContext(ctx, "k"); again[0] != "1" {
			t.Errorf("%s: a copy is none", name)
		}
		if ValueFromIncomingContext(ctx, "missing") != nil {
			t.Errorf("%s: a key that is missing has values", name)
		}
	}
}
