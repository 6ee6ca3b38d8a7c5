package credentials

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
)

// alpnH2 is the protocol that both ends must agree on. RFC 9113 §3.2.
const alpnH2 = "h2"

// TLSInfo is the AuthInfo of a TLS connection.
type TLSInfo struct {
	State tls.ConnectionState
}

// AuthType returns "tls".
func (TLSInfo) AuthType() string { return "tls" }

// SecurityLevel returns PrivacyAndIntegrity.
func (TLSInfo) SecurityLevel() SecurityLevel { return PrivacyAndIntegrity }

// ValidateAuthority checks authority against the certificate that the peer
// proved to own, the first of its chain. gRFC A81.
func (i TLSInfo) ValidateAuthority(authority string) error {
	if len(i.State.PeerCertificates) == 0 {
		return errors.New("tls: the peer has shown no certificate")
	}
	return i.State.PeerCertificates[0].VerifyHostname(hostOf(authority))
}

// suites are the cipher suites of TLS 1.2 that HTTP/2 does not prohibit among
// those of package tls: ephemeral keys and AEAD. RFC 9113 §9.2.2. TLS 1.3 has
// no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// NewTLS returns credentials from a configuration, which is copied. "h2" is
// added to its NextProtos and a peer that does not agree on it is refused.
// MinVersion is raised to TLS 1.2, and CipherSuites is that of RFC 9113 §9.2.2
// unless it is set. What GetConfigForClient returns is completed likewise.
func NewTLS(cfg *tls.Config) TransportCredentials {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg = complete(cfg.Clone())
	if choose := cfg.GetConfigForClient; choose != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return complete(chosen.Clone()), nil
		}
	}
	return &tlsCredentials{cfg: cfg}
}

// complete makes of cfg what HTTP/2 needs, and returns it.
func complete(cfg *tls.Config) *tls.Config {
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if !slices.Contains(cfg.NextProtos, alpnH2) {
		cfg.NextProtos = append([]string{alpnH2}, cfg.NextProtos...)
	}
	if cfg.CipherSuites == nil {
		cfg.CipherSuites = suites
	}
	return cfg
}

// NewServerTLSFromFile returns a server's credentials from a certificate and
// its key, both in PEM. [NewReloadingTLS] follows the files when they change.
func NewServerTLSFromFile(certFile, keyFile string) (TransportCredentials, error) {
	cert, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return NewTLS(&tls.Config{Certificates: []tls.Certificate{*cert}}), nil
}

// NewClientTLSFromFile returns a client's credentials that trust the
// authorities in a PEM file. serverNameOverride, if not empty, is the name
// that the server's certificate is checked against, for tests.
func NewClientTLSFromFile(caFile, serverNameOverride string) (TransportCredentials, error) {
	pool, err := loadPool(caFile)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return NewTLS(&tls.Config{RootCAs: pool, ServerName: serverNameOverride}), nil
}

type tlsCredentials struct {
	cfg *tls.Config
}

// String names the credentials. What else they hold is a key.
func (c *tlsCredentials) String() string { return "TLS[" + c.cfg.ServerName + "]" }

// Format writes String for every verb.
func (c *tlsCredentials) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue is String, for package slog.
func (c *tlsCredentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

func (c *tlsCredentials) Info() ProtocolInfo {
	return ProtocolInfo{SecurityProtocol: "tls", ServerName: c.cfg.ServerName}
}

func (c *tlsCredentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, AuthInfo, error) {
	cfg := c.cfg
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = hostOf(authority)
	}
	return finish(ctx, tls.Client(conn, cfg), conn)
}

func (c *tlsCredentials) ServerHandshake(ctx context.Context, conn net.Conn) (net.Conn, AuthInfo, error) {
	return finish(ctx, tls.Server(conn, c.cfg), conn)
}

// finish carries out the handshake and checks what it agreed on.
func finish(ctx context.Context, conn *tls.Conn, raw net.Conn) (net.Conn, AuthInfo, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		var notTLS tls.RecordHeaderError
		if errors.As(err, &notTLS) {
			return nil, nil, fmt.Errorf("tls: handshake with %s: the peer does not speak TLS (it sent %q): %w",
				raw.RemoteAddr(), notTLS.RecordHeader, err)
		}
		return nil, nil, fmt.Errorf("tls: handshake with %s: %w", raw.RemoteAddr(), err)
	}
	state := conn.ConnectionState()
	switch state.NegotiatedProtocol {
	case alpnH2:
		return conn, TLSInfo{State: state}, nil
	case "":
		return nil, nil, fmt.Errorf("tls: handshake with %s: the peer did not agree on %q by ALPN, which HTTP/2 needs",
			raw.RemoteAddr(), alpnH2)
	default:
		return nil, nil, fmt.Errorf("tls: handshake with %s: ALPN agreed on %q, and HTTP/2 needs %q",
			raw.RemoteAddr(), state.NegotiatedProtocol, alpnH2)
	}
}

// hostOf returns authority without its port, and an IPv6 address without its
// brackets. RFC 3986 §3.2.
func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	if n := len(authority); n > 2 && authority[0] == '[' && authority[n-1] == ']' {
		return authority[1 : n-1]
	}
	return authority
}
