package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
)

// A zone answers lookups and takes note of when they came.
type zone struct {
	start time.Time
	hosts []string
	hang  bool

	mu sync.Mutex
	// Guarded by mu.
	times []time.Duration
	err   error
}

func (z *zone) lookups() []time.Duration {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.times)
}

func (z *zone) fail(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.err = err
}

func (z *zone) lookup(ctx context.Context, host string) ([]string, error) {
	z.mu.Lock()
	z.times = append(z.times, time.Since(z.start))
	err := z.err
	z.mu.Unlock()
	if z.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if host != "host" {
		return nil, fmt.Errorf("asked for %q", host)
	}
	return z.hosts, err
}

// build builds a resolver for host:80 with an exact backoff.
func (z *zone) build(t *testing.T, sink Sink) Resolver {
	t.Helper()
	z.start = time.Now()
	r, err := build("dns:///host:80", sink, DNS{
		Lookup: z.lookup, Backoff: backoff.Config{BaseDelay: time.Second, Multiplier: 2, MaxDelay: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const sec = time.Second

func TestDNSLooksUpOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, sink := &zone{hosts: []string{"10.0.0.1", "::1"}}, &log{}
		r := z.build(t, sink)
		time.Sleep(10 * time.Minute) // nobody asks
		if got := fmt.Sprint(sink.all()[0].Addresses); len(sink.all()) != 1 || got != "[10.0.0.1:80 [::1]:80]" {
			t.Errorf("results %v", sink.all())
		}
		r.ResolveNow() // late enough to be answered at once
		r.ResolveNow() // and twice is once
		synctest.Wait()
		r.ResolveNow() // waits for the interval
		time.Sleep(time.Minute)
		if want := []time.Duration{0, 600 * sec, 630 * sec}; !slices.Equal(z.lookups(), want) {
			t.Errorf("lookups at %v, want %v", z.lookups(), want)
		}
		r.Close()
	})
}

func TestDNSBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, sink := &zone{err: errors.New("servfail")}, &log{}
		r := z.build(t, sink)
		time.Sleep(4 * sec)
		if want := []time.Duration{0, 1 * sec, 3 * sec}; !slices.Equal(z.lookups(), want) {
			t.Errorf("lookups at %v, want %v", z.lookups(), want)
		}
		if err := sink.all()[0].Err; err == nil || !strings.Contains(err.Error(), `looking up "host": servfail`) {
			t.Errorf("error %v does not say what failed", err)
		}
		r.ResetBackoff()
		synctest.Wait()
		if n := len(z.lookups()); n != 4 {
			t.Errorf("%d lookups after ResetBackoff, want 4", n)
		}
		z.fail(nil) // and an empty answer is a failure too
		time.Sleep(10 * sec)
		if err := sink.all()[len(sink.all())-1].Err; err == nil || !strings.Contains(err.Error(), "no addresses") {
			t.Errorf("error %v, want that there are no addresses", err)
		}
		r.Close()
	})
}

func TestDNSCloseEndsALookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, sink := &zone{hang: true}, &log{}
		r := z.build(t, sink)
		time.Sleep(sec)
		r.Close()
		if got := sink.all(); len(got) != 0 {
			t.Errorf("results %v after Close, want none", got)
		}
		if got := time.Since(z.start); got != sec {
			t.Errorf("Close took until %v, want 1s", got)
		}
	})
}

func TestDNSLookupTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, sink := &zone{hang: true}, &log{}
		r := z.build(t, sink)
		time.Sleep(dnsTimeout)
		synctest.Wait()
		if got := sink.all(); len(got) != 1 || !errors.Is(got[0].Err, context.DeadlineExceeded) {
			t.Errorf("results %v after %v, want one timeout", got, dnsTimeout)
		}
		r.Close()
	})
}

func TestDNSLookupPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &log{}
		r, err := build("dns:///host", sink, DNS{Lookup: func(context.Context, string) ([]string, error) { panic("l") }})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := sink.all(); len(got) != 1 || !strings.Contains(got[0].Err.Error(), "Lookup function panicked: l") {
			t.Errorf("results %v, want the panic", got)
		}
		r.Close()
	})
}

// The authority of the target is the name server that is asked.
func TestDNSNameServer(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		var buf [512]byte
		_, _, _ = server.ReadFrom(buf[:])
	}()
	sink := &log{}
	r, err := build("dns://"+server.LocalAddr().String()+"/host.example", sink)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked:
	case <-time.After(10 * time.Second):
		t.Error("the name server was not asked")
	}
	start := time.Now()
	r.Close() // the name server never answers
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Close took %v", took)
	}
}
