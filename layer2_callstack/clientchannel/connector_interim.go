//go:build !strata_http2

package clientchannel

import (
	"context"
	"errors"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

func defaultConnect(*Config) ConnectFunc {
	return func(context.Context, resolver.Address, string) (transport.Transport, error) {
		return nil, errors.New("clientchannel: no connector")
	}
}
