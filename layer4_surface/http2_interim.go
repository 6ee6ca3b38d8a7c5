//go:build !strata_http2

package surface

import (
	"context"
	"errors"
	"net"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
)

type http2Config struct{}

func connectHTTP2(*channelConfig) clientchannel.ConnectFunc { return nil }

func acceptHTTP2(context.Context, net.Conn, credentials.AuthInfo, *serverConfig) (transport.Transport, error) {
	return nil, errors.New("surface: built without http2")
}
