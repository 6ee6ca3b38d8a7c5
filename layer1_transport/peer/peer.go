// Package peer describes the other end of a connection.
//
// A transport knows its peer from the moment it is connected. A handler finds
// the client's with [FromContext]; a client learns which server answered a call
// from the option Peer of layer 5.
package peer

import (
	"context"
	"net"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
)

// A Peer is the other end of a connection. It is immutable.
type Peer struct {
	// Addr is the address of the other end.
	Addr net.Addr
	// LocalAddr is the address of this end.
	LocalAddr net.Addr
	// AuthInfo is what the handshake found out, nil without security.
	AuthInfo credentials.AuthInfo
}

// String returns the address of the other end, "unknown" if there is none.
func (p *Peer) String() string {
	if p == nil || p.Addr == nil {
		return "unknown"
	}
	return p.Addr.String()
}

type contextKey struct{}

// NewContext returns a context that carries p.
func NewContext(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the peer that ctx carries. In a handler it is the client.
// ok is false if there is none.
func FromContext(ctx context.Context) (p *Peer, ok bool) {
	p, _ = ctx.Value(contextKey{}).(*Peer)
	return p, p != nil
}

// Key is the key under which a context of the library answers Value with the
// *Peer. It is for implementations of context.Context; use FromContext.
func Key() any { return contextKey{} }
