package credentials

import (
	"context"
	"net"
)

// TransportCredentials carries out the handshake on a new connection, before
// the first byte of HTTP/2. Its methods may be called at the same time.
type TransportCredentials interface {
	// ClientHandshake secures conn to the server that authority names, or to
	// the name set in the credentials. It returns the connection to be used
	// from then on. It ends when ctx does. On an error the caller closes conn.
	ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, AuthInfo, error)

	// ServerHandshake secures a connection that a server accepted.
	ServerHandshake(ctx context.Context, conn net.Conn) (net.Conn, AuthInfo, error)

	// Info describes the credentials.
	Info() ProtocolInfo
}

// ProtocolInfo describes a kind of credentials.
type ProtocolInfo struct {
	// SecurityProtocol is "tls" or "insecure".
	SecurityProtocol string
	// ServerName overrides the authority of the channel. Empty does not.
	ServerName string
}

// AuthInfo is what a handshake found out about the peer. It may say more by
// being an [AuthorityValidator] or a [Leveler] too.
type AuthInfo interface {
	// AuthType is the name of the protocol, such as "tls".
	AuthType() string
}

// NewInsecure returns credentials for plain text: no handshake, no secrecy, no
// knowledge of who the peer is.
func NewInsecure() TransportCredentials { return insecure{} }

type insecure struct{}

func (insecure) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, AuthInfo, error) {
	return conn, insecureInfo{}, nil
}

func (insecure) ServerHandshake(_ context.Context, conn net.Conn) (net.Conn, AuthInfo, error) {
	return conn, insecureInfo{}, nil
}

func (insecure) Info() ProtocolInfo { return ProtocolInfo{SecurityProtocol: "insecure"} }

type insecureInfo struct{}

func (insecureInfo) AuthType() string { return "insecure" }

// SecurityLevel returns NoSecurity.
func (insecureInfo) SecurityLevel() SecurityLevel { return NoSecurity }

// ValidateAuthority accepts every authority: nobody is known, so nobody is
// contradicted.
func (insecureInfo) ValidateAuthority(string) error { return nil }
