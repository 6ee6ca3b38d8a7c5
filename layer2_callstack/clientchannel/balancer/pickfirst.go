package balancer

import (
	"errors"
	"fmt"
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// PickFirst is the policy pick_first: one connection, to the first address that
// answers. It is what a channel uses when nothing else is asked for.
//
//	       ┌──────────── ExitIdle or a pick ◀─────────────┐
//	       ▼                                              │
//	CONNECTING ──an address answers──▶ READY ──lost──▶ IDLE
//	    │ ▲ none does                    ▲
//	    ▼ │                              │
//	TRANSIENT_FAILURE ──an address answers
//
// TRANSIENT_FAILURE is sticky: the list is tried again after each backoff, and
// calls fail all the while instead of waiting once more. gRFC A62.
//
// Not here: shuffling, Happy Eyeballs (gRFC A61), health checking.
type PickFirst struct{}

// Name returns "pick_first".
func (PickFirst) Name() string { return "pick_first" }

// Build returns the balancer of one channel.
func (PickFirst) Build(host Host) Balancer { return &pickFirst{host: host} }

// A pickFirst is called by one goroutine at a time, like all balancers.
type pickFirst struct {
	host  Host
	sc    Subchannel         // nil without addresses
	state connectivity.State // of the channel
	// scState is that of sc, which differs while state is sticky.
	scState connectivity.State
}

func (b *pickFirst) Update(u Update) {
	if u.Err == nil && len(u.Addresses) == 0 {
		u.Err = errors.New("the resolver found no addresses")
		if u.Note != "" {
			u.Err = fmt.Errorf("%w: %s", u.Err, u.Note)
		}
		b.dropSubchannel() // an empty list is an answer, unlike an error
	}
	if u.Err != nil {
		if b.sc == nil {
			b.fail(fmt.Errorf("name resolution failed: %w", u.Err))
		}
		return
	}
	addrs := unique(u.Addresses)
	if b.sc != nil {
		b.sc.UpdateAddresses(addrs)
		return
	}
	b.sc = b.host.NewSubchannel(addrs, (*pickFirstWatcher)(b))
	b.scState = connectivity.Idle
	b.sc.Connect()
	if b.state != connectivity.TransientFailure {
		b.report(connectivity.Connecting, Fixed(Queue()))
	}
}

func (b *pickFirst) dropSubchannel() {
	if b.sc != nil {
		b.sc.Shutdown()
		b.sc = nil
	}
}

// pickFirstWatcher is what the subchannel tells its changes to.
type pickFirstWatcher pickFirst

func (w *pickFirstWatcher) OnState(s connectivity.State, cause error) {
	(*pickFirst)(w).onState(s, cause)
}

func (b *pickFirst) onState(s connectivity.State, cause error) {
	if b.sc == nil {
		return
	}
	b.scState = s
	switch s {
	case connectivity.Ready:
		b.report(s, Fixed(Complete(b.sc)))
	case connectivity.TransientFailure:
		b.fail(fmt.Errorf("failed to connect to all addresses; last error: %w", cause))
		b.host.RequestReresolution()
	case connectivity.Idle:
		if b.state == connectivity.TransientFailure {
			b.sc.Connect() // the backoff is over
			return
		}
		b.report(s, &idlePicker{sc: b.sc})
		b.host.RequestReresolution()
	case connectivity.Connecting:
		if b.state != connectivity.TransientFailure {
			b.report(s, Fixed(Queue()))
		}
	}
}

// fail reports err as the state and the end of calls that do not wait.
func (b *pickFirst) fail(err error) {
	b.state = connectivity.TransientFailure
	b.host.UpdateState(State{Connectivity: b.state, Err: err, Picker: Fixed(Fail(err))})
}

func (b *pickFirst) report(s connectivity.State, p Picker) {
	b.state = s
	b.host.UpdateState(State{Connectivity: s, Picker: p})
}

func (b *pickFirst) ExitIdle() {
	if b.sc != nil && b.scState == connectivity.Idle {
		b.sc.Connect()
	}
}

func (b *pickFirst) ResetBackoff() {
	if b.sc != nil {
		b.sc.ResetBackoff()
	}
}

func (b *pickFirst) Close() { b.dropSubchannel() }

// An idlePicker connects at the first pick.
type idlePicker struct {
	sc   Subchannel
	once sync.Once
}

func (p *idlePicker) Pick(PickInfo) PickResult {
	p.once.Do(p.sc.Connect)
	return Queue()
}

// unique returns addrs without repetitions, in the same order.
func unique(addrs []resolver.Address) []resolver.Address {
	out := make([]resolver.Address, 0, len(addrs))
	seen := make(map[resolver.Address]bool, len(addrs))
	for _, a := range addrs {
		if !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}
