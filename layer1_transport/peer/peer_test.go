package peer

import (
	"context"
	"fmt"
	"net"
	"testing"
)

func TestString(t *testing.T) {
	var none *Peer
	for want, p := range map[string]*Peer{
		"10.0.0.1:443": {Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}},
		"unknown":      {LocalAddr: &net.TCPAddr{}},
	} {
		if got := fmt.Sprint(p); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := none.String(); got != "unknown" {
		t.Errorf("the nil Peer is %s", got)
	}
}

// libraryContext answers Value as the contexts of handlers do.
type libraryContext struct {
	context.Context
	p *Peer
}

func (c libraryContext) Value(key any) any {
	if key == Key() {
		return c.p
	}
	return c.Context.Value(key)
}

func TestContext(t *testing.T) {
	if p, ok := FromContext(context.Background()); p != nil || ok {
		t.Errorf("a context without a peer has %v", p)
	}
	want := &Peer{}
	for name, ctx := range map[string]context.Context{
		"a context value":          NewContext(context.Background(), want),
		"a context of the library": libraryContext{context.Background(), want},
	} {
		if p, ok := FromContext(ctx); p != want || !ok {
			t.Errorf("%s: %v, %v", name, p, ok)
		}
	}
}

// TestNilPeer: a context that carries nil has no peer.
func TestNilPeer(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"a context value":          NewContext(context.Background(), nil),
		"a context of the library": libraryContext{Context: context.Background()},
	} {
		if p, ok := FromContext(ctx); p != nil || ok {
			t.Errorf("%s: %v, %v", name, p, ok)
		}
	}
}

// A handler asks its context who the client is.
func ExampleFromContext() {
	handler := func(ctx context.Context) {
		if p, ok := FromContext(ctx); ok {
			fmt.Println(p)
		}
	}
	handler(NewContext(context.Background(), &Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}}))
	// Output: 10.0.0.1:443
}
