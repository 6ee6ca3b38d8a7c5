package resolver

import "net"

// Unresolved is the scheme dns where somebody else looks the name up, such as a
// proxy: the one address is the endpoint itself, with a port.
type Unresolved struct{}

// Scheme returns "dns".
func (Unresolved) Scheme() string { return "dns" }

// Validate checks host and port.
func (Unresolved) Validate(t Target) error { return DNS{}.Validate(t) }

// Build reports the one address.
func (u Unresolved) Build(t Target, sink Sink, _ Options) (Resolver, error) {
	if err := u.Validate(t); err != nil {
		return nil, err
	}
	sink.Update(Result{Addresses: []Address{{Addr: HostPort(t)}}})
	return static{}, nil
}

// HostPort returns the endpoint of a target of scheme dns as "host:port", with
// the port 443 where it names none. It is empty if the endpoint is malformed.
func HostPort(t Target) string {
	host, port, err := splitHostPort(t.Endpoint())
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, port)
}
