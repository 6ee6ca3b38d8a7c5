package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
)

const (
	// minDNSInterval spares the name servers when connections flap.
	minDNSInterval = 30 * time.Second
	// dnsTimeout bounds one lookup.
	dnsTimeout = 30 * time.Second
)

// DNS looks up the A and AAAA records of the endpoint, once at the start and
// again when the channel asks. The zero value is ready to use.
//
// The authority of a target, as in "dns://10.0.0.53/host", is the name server;
// without one the system's are asked. An IP address needs no lookup.
type DNS struct {
	// Lookup returns the addresses of host. It ends when ctx does. Nil means
	// package net's resolver.
	Lookup func(ctx context.Context, host string) ([]string, error)

	// MinInterval is the time from one lookup to the next, at least. Zero
	// means 30 s.
	MinInterval time.Duration

	// Backoff is the wait after failures. Zero means gRPC's values.
	Backoff backoff.Config
}

// Scheme returns "dns".
func (DNS) Scheme() string { return "dns" }

// Validate checks host and port.
func (DNS) Validate(t Target) error {
	if _, _, err := splitHostPort(t.Endpoint()); err != nil {
		return fmt.Errorf("resolver: target %q: endpoint %q: %w", t.Raw, t.Endpoint(), err)
	}
	return nil
}

// Build starts the goroutine that looks up.
func (d DNS) Build(t Target, sink Sink, _ Options) (Resolver, error) {
	if err := d.Validate(t); err != nil {
		return nil, err
	}
	host, port, _ := splitHostPort(t.Endpoint())
	if isIP(host) {
		sink.Update(Result{Addresses: []Address{{Addr: net.JoinHostPort(host, port)}}})
		return static{}, nil
	}
	if d.MinInterval == 0 {
		d.MinInterval = minDNSInterval
	}
	if d.Lookup == nil {
		d.Lookup = netResolver(t.Authority).LookupHost
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &dnsResolver{
		cfg: d, host: host, port: port, sink: sink, ctx: ctx, cancel: cancel,
		now: make(chan struct{}, 1), reset: make(chan struct{}, 1),
	}
	r.wg.Go(r.run)
	return r, nil
}

// netResolver returns a resolver that asks server, or the system's. Its lookups
// end with their context: package net alone waits for the answer of the name
// server, up to 5 s, and Close would wait with it.
func netResolver(server string) *net.Resolver {
	if server != "" {
		if _, _, err := net.SplitHostPort(server); err != nil {
			server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
		}
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if server != "" {
			address = server
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil { // ctx is that of one exchange
			context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		}
		return conn, err
	}
	return &net.Resolver{PreferGo: server != "", Dial: dial}
}

// A dnsResolver is one name that is looked up.
type dnsResolver struct {
	// Set by Build, read-only afterwards.
	cfg        DNS
	host, port string
	sink       Sink
	ctx        context.Context // the life of the resolver
	cancel     context.CancelFunc
	wg         sync.WaitGroup

	// now and reset hold one request each: more of them mean the same.
	now, reset chan struct{}
}

func (r *dnsResolver) ResolveNow()   { request(r.now) }
func (r *dnsResolver) ResetBackoff() { request(r.reset) }

func (r *dnsResolver) Close() {
	r.cancel()
	r.wg.Wait()
}

func request(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

func discard(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}

// run looks up until Close: after a failure when the backoff is over, after a
// success when it is asked to and the minimal interval is over.
func (r *dnsResolver) run() {
	for retries := 0; r.ctx.Err() == nil; {
		start := time.Now()
		discard(r.now) // this lookup answers the requests before it
		discard(r.reset)
		addrs, err := r.lookup()
		if r.ctx.Err() != nil {
			return
		}
		r.sink.Update(Result{Addresses: addrs, Err: err})
		if err != nil {
			r.wait(start.Add(r.cfg.Backoff.Delay(retries)), r.reset)
			retries++
			continue
		}
		retries = 0
		select {
		case <-r.now:
		case <-r.ctx.Done():
		}
		r.wait(start.Add(r.cfg.MinInterval), nil)
	}
}

// wait returns at until, when the resolver is closed, or on early.
func (r *dnsResolver) wait(until time.Time, early <-chan struct{}) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-r.ctx.Done():
	}
}

func (r *dnsResolver) lookup() (addrs []Address, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, dnsTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // Lookup is the user's
			addrs, err = nil, fmt.Errorf("dns: looking up %q: the Lookup function panicked: %v", r.host, p)
		}
	}()
	hosts, err := r.cfg.Lookup(ctx, r.host)
	if err == nil && len(hosts) == 0 {
		err = errors.New("the name has no addresses")
	}
	if err != nil {
		return nil, fmt.Errorf("dns: looking up %q: %w", r.host, err)
	}
	for _, h := range hosts {
		addrs = append(addrs, Address{Addr: net.JoinHostPort(h, r.port)})
	}
	return addrs, nil
}
