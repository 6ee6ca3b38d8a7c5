package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Target is the name that a channel was made for, in its parts: the gRPC
// naming document's scheme://authority/endpoint.
type Target struct {
	// Raw is the target as it was given.
	Raw string

	// Scheme chooses the resolver.
	Scheme string

	// Authority is who is asked, such as a DNS server. Often empty. It is not
	// the :authority of HTTP/2.
	Authority string

	// Path is what follows the scheme and the authority, unescaped, with its
	// leading slash if it has one.
	Path string
}

// Endpoint returns the path without the slash that separates it from the
// authority: "host:port" in "dns:///host:port".
func (t Target) Endpoint() string { return strings.TrimPrefix(t.Path, "/") }

// String returns the target as it was given.
func (t Target) String() string { return t.Raw }

// Parse splits target. Where it is no URI, or one with a scheme that known
// refuses, all of it is the endpoint of defaultScheme: "localhost:50051" is
// "dns:///localhost:50051" although it looks like a URI of scheme "localhost".
func Parse(target, defaultScheme string, known func(scheme string) bool) (Target, error) {
	if target == "" {
		return Target{}, errors.New(`resolver: the target is empty; it should be like "host:port" or "dns:///host:port"`)
	}
	if t, ok := parseURI(target); ok && known(t.Scheme) {
		return t, nil
	}
	if !known(defaultScheme) {
		return Target{}, fmt.Errorf("resolver: target %q has no known scheme, and no resolver is known for the default scheme %q", target, defaultScheme)
	}
	return Target{Raw: target, Scheme: defaultScheme, Path: "/" + target}, nil
}

// parseURI splits a target that is a URI with a scheme.
func parseURI(target string) (Target, bool) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme == "" {
		return Target{}, false
	}
	path := u.Path
	if u.Opaque != "" { // "scheme:rest" without a slash after the colon
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return Target{}, false
		}
	}
	return Target{Raw: target, Scheme: strings.ToLower(u.Scheme), Authority: u.Host, Path: path}, true
}

// defaultPort is that of https, which gRPC's name resolution assumes.
const defaultPort = "443"

// splitHostPort splits "host", "host:port", ":port", an IP address, or an IP
// address with a port. A missing port is 443 and a missing host localhost.
func splitHostPort(endpoint string) (host, port string, err error) {
	if endpoint == "" {
		return "", "", errors.New("the host is missing")
	}
	if isIP(endpoint) { // also "::1", which SplitHostPort refuses
		return endpoint, defaultPort, nil
	}
	if host, port, err = net.SplitHostPort(endpoint); err == nil {
		if port == "" {
			return "", "", errors.New("the port is missing after the colon")
		}
		if strings.ContainsFunc(port, notInPort) {
			return "", "", fmt.Errorf("%q is neither the number nor the name of a port", port)
		}
		if _, err := strconv.ParseUint(port, 10, 16); errors.Is(err, strconv.ErrRange) {
			return "", "", fmt.Errorf("port %s is above 65535", port)
		}
		if host == "" {
			host = "localhost"
		}
		return host, port, nil
	}
	if host, port, err2 := net.SplitHostPort(endpoint + ":" + defaultPort); err2 == nil && host != "" {
		return host, port, nil
	}
	return "", "", err
}

// notInPort reports whether r cannot be part of a port's number or name. RFC 6335 §5.1.
func notInPort(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
