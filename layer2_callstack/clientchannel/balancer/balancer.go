// Package balancer decides which connection carries a call: gRPC's load
// balancing policies.
//
// A [Balancer] is the control plane of a policy. It turns addresses into
// [Subchannel] values, watches them, and publishes a [Picker] with each change.
// The Picker is the data plane: it is asked for every call, at the same time
// from many goroutines, and does not change.
//
// Reading order: balancer.go, picker.go, pickfirst.go.
package balancer

import (
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A Builder makes the balancers of one policy.
type Builder interface {
	// Name is the name of the policy, such as "pick_first".
	Name() string

	// Build returns the balancer of one channel. It connects nothing yet.
	Build(host Host) Balancer
}

// A Balancer is one policy at work in one channel. The channel calls its
// methods, and those of the watchers that it gives to [Host.NewSubchannel], one
// after another and with no lock held. They must not block.
type Balancer interface {
	// Update tells of a new result of the resolver.
	Update(u Update)

	// ExitIdle asks to connect, if the balancer is idle.
	ExitIdle()

	// ResetBackoff ends the wait after failures.
	ResetBackoff()

	// Close ends the balancer. Its subchannels are shut down by the channel.
	Close()
}

// An Update is what the resolver found out.
type Update struct {
	// Addresses are those to be used, in the order of preference.
	Addresses []resolver.Address

	// Err is why there are none. A balancer that has addresses keeps them.
	Err error

	// Note explains an empty result to a human.
	Note string
}

// A Host is the channel, as its balancer sees it. Its methods may be called
// from any goroutine and do not block; what they ask for is done afterwards, in
// the order of the calls.
type Host interface {
	// NewSubchannel returns a subchannel in state IDLE for a list of
	// addresses that lead to the same server. w is told of its changes of
	// state, not of the first one.
	NewSubchannel(addrs []resolver.Address, w connectivity.Watcher) Subchannel

	// UpdateState sets the channel's state and its picker. Queued calls are
	// picked again.
	UpdateState(s State)

	// RequestReresolution says that the addresses may be out of date.
	RequestReresolution()

	// Target is the target of the channel.
	Target() string
}

// A State is what a balancer makes of its subchannels.
type State struct {
	Connectivity connectivity.State

	// Err is why Connectivity is TransientFailure.
	Err error

	// Picker is used from now on. Not nil.
	Picker Picker
}

// A Subchannel is a connection to one server, made anew when it is asked for:
// at most one transport at a time. Only the channel makes them. Its methods may
// be called from any goroutine and do not block.
type Subchannel interface {
	// Connect asks for a connection. It does nothing unless the state is IDLE.
	Connect()

	// UpdateAddresses replaces the list. A connection to an address that is
	// no longer there is drained.
	UpdateAddresses(addrs []resolver.Address)

	// ResetBackoff ends the wait after a failure.
	ResetBackoff()

	// Shutdown ends the subchannel; a connection is drained. The watcher is
	// told nothing any more.
	Shutdown()
}
