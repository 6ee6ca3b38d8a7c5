package clientchannel

import (
	"context"
	"fmt"
	"net"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// NewConnector returns the connector of HTTP/2: it dials, secures the
// connection with creds, sends the preface and waits for the server's SETTINGS,
// all before ctx ends. dial may be nil.
func NewConnector(creds credentials.TransportCredentials, dial DialFunc, cfg http2.Config) ConnectFunc {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, addr resolver.Address, authority string) (transport.Transport, error) {
		raw, err := dial(ctx, addr.NetworkOrTCP(), addr.Addr)
		if err != nil {
			return nil, err
		}
		if raw == nil {
			return nil, fmt.Errorf("the dialer returned neither a connection nor an error")
		}
		conn, auth, err := creds.ClientHandshake(ctx, authority, raw)
		if err != nil {
			raw.Close()
			return nil, err
		}
		return http2.Connect(ctx, conn, auth, cfg) // which closes conn if it fails
	}
}

// defaultConnect is the connector of a channel that was given none. The
// transport gets no logger: the channel warns of a lost connection itself.
func defaultConnect(cfg *Config) ConnectFunc {
	return NewConnector(cfg.Credentials, cfg.Dialer, http2.Config{Trace: cfg.Trace})
}
