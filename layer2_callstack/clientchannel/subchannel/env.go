package subchannel

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A ConnectFunc returns a transport that is ready to carry calls. It ends when
// ctx does; afterwards ctx has no meaning for the transport. authority is what
// the server calls itself.
type ConnectFunc func(ctx context.Context, addr resolver.Address, authority string) (transport.Transport, error)

// A NewStackFunc returns the channel stack above a transport.
type NewStackFunc func(t transport.Transport, authority string) (*callstack.ChannelStack, error)

// An Env is what the subchannels of one channel share.
type Env struct {
	// Set by the channel before the first subchannel, read-only afterwards.
	Connect           ConnectFunc
	NewStack          NewStackFunc
	Backoff           backoff.Config
	MinConnectTimeout time.Duration
	Target, Authority string
	Logger            *slog.Logger
	Trace             trace.Sink

	// Schedule puts f on the serializer; false means that it has ended.
	Schedule func(f func()) bool
	// Go runs f on a goroutine that the channel's Destroy waits for. It is
	// called on the serializer only.
	Go func(f func())
	// OnError takes each error of a connection, on the serializer.
	OnError func(err error)

	// Owned by the serializer; no lock.

	// Cause is the last trace event of the control plane.
	Cause trace.EventID
	// conns are the connections that have not ended yet, draining ones too.
	conns map[*Conn]struct{}
}

// Init makes e ready for use.
func (e *Env) Init() { e.conns = map[*Conn]struct{}{} }

// Disconnect closes every connection; open calls fail with err as cause. It
// runs on the serializer.
func (e *Env) Disconnect(err error) {
	for c := range e.conns {
		c.stack.StartTransportOp(&transport.Op{Disconnect: err}) // filters hear of it
		c.close()
	}
}

// connect calls the ConnectFunc and contains its panic.
func (e *Env) connect(ctx context.Context, addr resolver.Address) (t transport.Transport, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("the dialer panicked: %v", p)
		}
	}()
	t, err = e.Connect(ctx, addr, e.Authority)
	if err == nil && t == nil {
		err = fmt.Errorf("the connector returned neither a transport nor an error")
	}
	return t, err
}

// newStack calls the NewStackFunc and contains its panic.
func (e *Env) newStack(t transport.Transport) (stack *callstack.ChannelStack, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack, err = nil, fmt.Errorf("building the channel stack panicked: %v", p)
		}
	}()
	return e.NewStack(t, e.Authority)
}
