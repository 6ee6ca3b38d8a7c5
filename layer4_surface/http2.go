//go:build strata_http2

package surface

import (
	"context"
	"net"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
)

// An http2Config is what WithHTTP2 sets.
type http2Config = http2.Config

// WithHTTP2 tunes the connections. Logger and Trace of cfg are ignored; they
// are those of the channel or server.
func WithHTTP2(cfg http2.Config) Option { return endOption(func(c *endConfig) { c.http2 = cfg }) }

// connectHTTP2 makes the connections of a channel. They get no logger: the
// channel itself warns of those that are lost.
func connectHTTP2(c *channelConfig) clientchannel.ConnectFunc {
	cfg := c.http2
	cfg.Logger, cfg.Trace = nil, c.trace
	return clientchannel.NewConnector(c.credentials, c.dialer, cfg)
}

// acceptHTTP2 makes a transport of a connection that a server accepted.
func acceptHTTP2(ctx context.Context, nc net.Conn, auth credentials.AuthInfo, c *serverConfig) (transport.Transport, error) {
	cfg := c.http2
	cfg.Logger, cfg.Trace = c.logger, c.trace
	return http2.Accept(ctx, nc, auth, cfg)
}
