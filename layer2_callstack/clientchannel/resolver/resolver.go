// Package resolver turns the target of a channel into addresses.
//
// A [Builder] stands for one scheme, such as "dns". A channel picks one by the
// scheme of its target and asks it for a [Resolver], which reports to the
// channel's [Sink] whenever it knows better. This is gRPC core's resolver
// factory, resolver and result handler.
//
// # Goroutines
//
//	name   started by   ends when
//	run    DNS.Build    Resolver.Close
//
// # Reading order
//
// resolver.go, target.go, then one file for each scheme.
package resolver

import (
	"log/slog"
)

// A Builder makes the resolvers of one scheme. Its methods may be called at the
// same time.
type Builder interface {
	// Scheme is the part of a target before the first colon, in lower case.
	Scheme() string

	// Build starts a resolver for target. It does not block: what needs I/O
	// is done by a goroutine that ends with [Resolver.Close].
	Build(target Target, sink Sink, opts Options) (Resolver, error)
}

// A Validator is a Builder that can tell a bad target before any I/O, so that
// the channel need not be made.
type Validator interface {
	Validate(target Target) error
}

// An AuthorityOverrider is a Builder whose targets are not what the peer is
// called. Authority is then the default :authority.
type AuthorityOverrider interface {
	Authority(target Target) string
}

// A Resolver watches one target. The channel calls one method at a time; none
// but Close blocks.
type Resolver interface {
	// ResolveNow is a hint that the last result may be out of date.
	ResolveNow()

	// ResetBackoff ends the wait after a failure.
	ResetBackoff()

	// Close ends the resolver and returns when its goroutines are gone. The
	// channel calls it from a goroutine of its own.
	Close()
}

// A Sink takes the results of a resolver. Update may be called from any
// goroutine, also from within Build, and does not block.
type Sink interface {
	Update(r Result)
}

// A Result is what a resolver found out.
type Result struct {
	// Addresses are the addresses in the order of preference. The sink keeps
	// the slice.
	Addresses []Address

	// Err is why there are no addresses; the earlier ones stay in use.
	Err error

	// Note helps a human to understand an empty result.
	Note string

	// ServiceConfig is the service config in JSON, empty for none. Channels
	// show it and do not act on it.
	ServiceConfig string
}

// Options are what a channel offers to its resolver.
type Options struct {
	// Logger is never nil.
	Logger *slog.Logger
}

// An Address is where a server can be reached. It is comparable.
type Address struct {
	// Network is the name of the network for package net. Empty means "tcp".
	Network string
	// Addr is the address in that network, such as "10.0.0.1:443", the path
	// of a socket, or "@name" for an abstract one.
	Addr string
}

// NetworkOrTCP returns the network, which is "tcp" where none is named.
func (a Address) NetworkOrTCP() string {
	if a.Network == "" {
		return "tcp"
	}
	return a.Network
}

// String returns the address as a human writes it.
func (a Address) String() string {
	if a.NetworkOrTCP() == "tcp" {
		return a.Addr
	}
	return a.Network + ":" + a.Addr
}

// Defaults returns the schemes that every channel knows: dns, passthrough,
// unix, unix-abstract, ipv4 and ipv6.
func Defaults() []Builder {
	return []Builder{
		DNS{}, Passthrough{},
		unixBuilder{scheme: "unix"}, unixBuilder{scheme: "unix-abstract", prefix: "@"},
		ipBuilder{scheme: "ipv4"}, ipBuilder{scheme: "ipv6"},
	}
}

// Find returns the first builder for scheme, nil if there is none.
func Find(builders []Builder, scheme string) Builder {
	for _, b := range builders {
		if b.Scheme() == scheme {
			return b
		}
	}
	return nil
}

// static is a resolver whose one result was reported when it was built.
type static struct{}

func (static) ResolveNow()   {}
func (static) ResetBackoff() {}
func (static) Close()        {}
