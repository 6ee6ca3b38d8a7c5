package clientchannel

import (
	"fmt"
	"maps"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/balancer"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/subchannel"
)

// A sink is the way from a resolver to the channel. What comes from a resolver
// that was given up finds that c.control.sink is another, and is dropped.
type sink struct{ c *ClientChannel }

func (s *sink) Update(r resolver.Result) {
	s.c.serial.schedule(func() { s.c.onResult(s, r) })
}

// onResult passes a result on to the balancer.
func (c *ClientChannel) onResult(s *sink, r resolver.Result) {
	if c.control.sink != s {
		return
	}
	if c.cfg.Trace != nil {
		c.traceControl("resolver.update", fmt.Sprint(r.Addresses), r.Err)
	}
	if r.Err != nil {
		if c.State(false) != connectivity.Ready { // where it explains nothing
			c.onConnectionError(r.Err)
		}
		c.cfg.Logger.Debug("name resolution failed", "target", c.target.Raw, "error", r.Err)
	} else {
		given := r.ServiceConfig
		c.serviceConfig.Store(&given)
	}
	c.contain("balancer "+c.cfg.Balancer.Name(), func() {
		c.control.host.balancer.Update(balancer.Update{Addresses: r.Addresses, Err: r.Err, Note: r.Note})
	})
}

// A host is the way from a balancer to the channel. What comes from a balancer
// that was given up is dropped, like with sink.
type host struct {
	c *ClientChannel

	// Owned by the serializer; no lock.
	balancer balancer.Balancer
	// subs are shut down with the host, whether the balancer did it or not.
	subs map[*subchannel.Subchannel]struct{}
}

func (h *host) Target() string { return h.c.target.Raw }

func (h *host) NewSubchannel(addrs []resolver.Address, w connectivity.Watcher) balancer.Subchannel {
	sub := subchannel.New(&h.c.control.env, addrs, &balancerWatcher{h: h, w: w})
	h.c.serial.schedule(func() {
		if h.c.control.host != h {
			sub.Close()
			return
		}
		maps.DeleteFunc(h.subs, func(s *subchannel.Subchannel, _ struct{}) bool { return s.Closed() })
		h.subs[sub] = struct{}{}
	})
	return sub
}

func (h *host) UpdateState(s balancer.State) {
	h.c.serial.schedule(func() { h.c.onBalancerState(h, s) })
}

func (c *ClientChannel) onBalancerState(h *host, s balancer.State) {
	if c.control.host != h {
		return
	}
	if s.Picker == nil || s.Connectivity > connectivity.TransientFailure {
		c.fail(fmt.Errorf("balancer %s reported state %v with picker %v", c.cfg.Balancer.Name(), s.Connectivity, s.Picker))
		return
	}
	c.setState(s.Connectivity, s.Err, s.Picker)
}

func (h *host) RequestReresolution() {
	h.c.serial.schedule(func() {
		if h.c.control.host == h { // and so there is a resolver
			h.c.contain("resolver "+h.c.target.Scheme, h.c.control.resolver.ResolveNow)
		}
	})
}

func (h *host) closeSubchannels() {
	for sub := range h.subs {
		sub.Close()
	}
}

// A balancerWatcher contains the balancer that watches a subchannel. One that was given
// up hears nothing, as its subchannels are closed.
type balancerWatcher struct {
	h *host
	w connectivity.Watcher
}

func (b *balancerWatcher) OnState(s connectivity.State, cause error) {
	c := b.h.c
	c.contain("balancer "+c.cfg.Balancer.Name(), func() { b.w.OnState(s, cause) })
}
