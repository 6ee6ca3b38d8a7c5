package resolver

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// ipBuilder is the scheme ipv4 or ipv6: a list of addresses with commas, such
// as "ipv4:10.0.0.1:50051,10.0.0.2:50051". A missing port is 443.
type ipBuilder struct{ scheme string }

func (b ipBuilder) Scheme() string { return b.scheme }

func (b ipBuilder) Validate(t Target) error {
	_, err := b.parse(t)
	return err
}

func (b ipBuilder) Build(t Target, sink Sink, _ Options) (Resolver, error) {
	addrs, err := b.parse(t)
	if err != nil {
		return nil, err
	}
	sink.Update(Result{Addresses: addrs})
	return static{}, nil
}

// Authority is the first address: the others are the same server elsewhere.
func (b ipBuilder) Authority(t Target) string {
	first, _, _ := strings.Cut(t.Endpoint(), ",")
	return first
}

func (b ipBuilder) parse(t Target) ([]Address, error) {
	if t.Authority != "" {
		return nil, fmt.Errorf("resolver: target %q: %s has no authority, and %q is one", t.Raw, b.scheme, t.Authority)
	}
	var addrs []Address
	for item := range strings.SplitSeq(t.Endpoint(), ",") {
		host, port, err := splitHostPort(item)
		if err != nil {
			return nil, fmt.Errorf("resolver: target %q: address %q: %w", t.Raw, item, err)
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Is4() != (b.scheme == "ipv4") {
			return nil, fmt.Errorf("resolver: target %q: %q is no %s address", t.Raw, host, b.scheme)
		}
		addrs = append(addrs, Address{Addr: net.JoinHostPort(host, port)})
	}
	return addrs, nil
}

// isIP reports whether host is an IP address, with a zone or without.
func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
