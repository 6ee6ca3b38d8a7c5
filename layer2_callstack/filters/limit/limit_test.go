package limit_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
)

func TestContract(t *testing.T) {
	for name, cfg := range map[string]limit.Config{
		"calls at once": {MaxConcurrent: 1},
		"a rate":        {Rate: 1, Burst: 100},
		"of a method":   {Methods: map[string]limit.Config{"/service/method": {MaxConcurrent: 1}}},
		"nothing":       {},
	} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, callstacktest.Server, limit.New(cfg)) })
	}
}

// A server is stacks of connections that share a filter.
type server struct {
	t      testing.TB
	stacks []*callstack.ChannelStack
	trs    []*callstacktest.Transport
}

func newServer(t testing.TB, conns int, cfg limit.Config) *server {
	t.Helper()
	s, f := &server{t: t}, limit.New(cfg)
	for range conns {
		tr := &callstacktest.Transport{}
		s.trs = append(s.trs, tr)
		s.stacks = append(s.stacks, callstacktest.Build(t, tr, f))
	}
	return s
}

// A called is one call of a server.
type called struct {
	*callstacktest.Call
	*callstacktest.Batch
	stream *callstacktest.Stream
}

// call lets the headers of a call of path come on a connection.
func (s *server) call(conn int, path string) *called {
	s.t.Helper()
	c := &called{Call: callstacktest.NewCall(s.stacks[conn])}
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		s.t.Fatal(err)
	}
	c.Batch = c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	streams := s.trs[conn].Streams()
	c.stream = streams[len(streams)-1]
	c.stream.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Path = path }, nil)
	return c
}

// end ends the stream, and the call with it.
func (c *called) end() {
	c.stream.Trailers(nil, nil)
	c.Unref()
}

// in reports whether the call was let in.
func (c *called) in() bool { return c.GotHeaders.Err() == nil }

// TestConcurrent: as many calls at once as the limit says, over all connections.
// A place is free again when the block is recycled, and not when the stream ends.
func TestConcurrent(t *testing.T) {
	s := newServer(t, 2, limit.Config{MaxConcurrent: 2})
	a, b := s.call(0, "/a"), s.call(1, "/b")
	if !a.in() || !b.in() {
		t.Fatalf("two calls were refused with %v and %v", a.GotHeaders.Err(), b.GotHeaders.Err())
	}
	for conn := range 2 {
		c := s.call(conn, "/c")
		for name, err := range map[string]error{
			"recv_initial_metadata": c.GotHeaders.Err(), "recv_trailing_metadata": c.GotTrailers.Err(), "the stream": c.stream.Canceled(),
		} {
			const want = "the server has as many calls at once as it may have: 2 (option MaxConcurrent)"
			if o := transport.OutcomeOf(err, time.Time{}); o.Code != status.ResourceExhausted || o.Told != want || o.Layer != limit.Name {
				t.Errorf("the third call: %s ended with %v, want RESOURCE_EXHAUSTED with %q", name, err, want)
			}
		}
		if got := strings.Join(c.Order(), " "); got != "headers trailers" {
			t.Errorf("callbacks of the third call ran in the order %q", got)
		}
		c.Unref()
		if c.Recycled() != 1 {
			t.Error("the block of the third call was not recycled")
		}
	}
	a.stream.Trailers(nil, nil)
	if c := s.call(0, "/d"); c.in() {
		t.Error("a call was let in whose place has a handler that has not returned")
	} else {
		c.Unref()
	}
	a.Unref()
	c := s.call(1, "/e")
	if !c.in() {
		t.Errorf("a call was refused with %v, although there is a place", c.GotHeaders.Err())
	}
	c.end()
	b.end()
}

// TestRate: calls come as the bucket has tokens for them, and those that are too
// many at once take none.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 2, limit.Config{Rate: 2, Burst: 3, MaxConcurrent: 3})
		var open []*called
		try := func(conn int, want string) {
			t.Helper()
			c := s.call(conn, "/a")
			o := transport.OutcomeOf(c.GotHeaders.Err(), time.Time{})
			switch {
			case o.Told != want || want != "" && o.Code != status.ResourceExhausted:
				t.Errorf("the call ended with %v, want %q", c.GotHeaders.Err(), want)
			case want == "":
				open = append(open, c)
				return
			}
			c.Unref()
		}
		const (
			many  = "the server has as many calls at once as it may have: 3 (option MaxConcurrent)"
			often = "more calls come than the server takes: 2 a second (option Rate)"
		)
		for i := range 3 {
			try(i%2, "")
		}
		try(0, many)
		open[0].end()
		try(0, often)
		time.Sleep(500*time.Millisecond - 1)
		try(1, often)
		time.Sleep(time.Nanosecond)
		try(1, "")
		try(0, many)
		for _, c := range open[1:] {
			c.end()
		}
		time.Sleep(time.Hour)
		for i := range 3 {
			try(i%2, "")
		}
		open[len(open)-1].end()
		try(0, often)
	})
}

// TestMethods: a call is within the limits of its method and of the server.
func TestMethods(t *testing.T) {
	s := newServer(t, 1, limit.Config{MaxConcurrent: 3, Methods: map[string]limit.Config{
		"/a.B/One": {MaxConcurrent: 1}, "/a.B/Slow": {Rate: 0.5}, "/a.B/Any": {MaxConcurrent: 9},
	}})
	one := s.call(0, "/a.B/One")
	refused := func(path, want string) (c *called) {
		t.Helper()
		c = s.call(0, path)
		if o := transport.OutcomeOf(c.GotHeaders.Err(), time.Time{}); o.Told != want {
			t.Errorf("%s ended with %v, want %q", path, c.GotHeaders.Err(), want)
		}
		return c
	}
	refused("/a.B/One", "the server has as many calls of /a.B/One at once as it may have: 1 (option MaxConcurrent)").Unref()
	slow := s.call(0, "/a.B/Slow")
	refused("/a.B/Slow", "more calls of /a.B/Slow come than the server takes: 0.5 a second (option Rate)").Unref()
	anything := s.call(0, "/a.B/Any")
	if !one.in() || !slow.in() || !anything.in() {
		t.Fatal("a call was refused that is within all limits")
	}
	one.end()
	again := s.call(0, "/other")
	late := refused("/a.B/One", "the server has as many calls at once as it may have: 3 (option MaxConcurrent)")
	again.end()
	// The refused call, whose block is still in use, has left the gate of its method.
	if one = s.call(0, "/a.B/One"); !one.in() {
		t.Errorf("/a.B/One ended with %v, although there is a place", one.GotHeaders.Err())
	}
	late.Unref()
	for _, c := range []*called{one, slow, anything} {
		c.end()
	}
}

// TestFailedHeadersTakeNoPlace: calls whose headers do not arrive well are none.
func TestFailedHeadersTakeNoPlace(t *testing.T) {
	s := newServer(t, 1, limit.Config{MaxConcurrent: 1})
	c := callstacktest.NewCall(s.stacks[0])
	if err := c.Begin(callstacktest.Server.Args()); err != nil {
		t.Fatal(err)
	}
	why := status.Error(status.Unimplemented, "by a filter below")
	b := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	s.trs[0].Streams()[0].Headers(nil, why)
	if err := b.GotHeaders.Err(); err != why {
		t.Errorf("the headers ended with %v, want %v", err, why)
	}
	other := s.call(0, "/a")
	if !other.in() {
		t.Errorf("the next call was refused with %v", other.GotHeaders.Err())
	}
	other.end()
	s.trs[0].Streams()[0].Trailers(nil, nil)
	c.Unref()
}

// TestNeverMoreAtOnce: from many goroutines and connections there are never more
// calls at once than the limit says, nor do places get lost.
func TestNeverMoreAtOnce(t *testing.T) {
	const most, goroutines, rounds = 7, 32, 300
	s := newServer(t, goroutines, limit.Config{MaxConcurrent: most, Methods: map[string]limit.Config{"/even": {MaxConcurrent: 3}}})
	var now, even, in, out atomic.Int64
	var wg sync.WaitGroup
	for conn := range goroutines {
		wg.Go(func() {
			path := []string{"/even", "/odd"}[conn%2]
			for range rounds {
				c := s.call(conn, path)
				if !c.in() {
					out.Add(1)
					c.Unref()
					continue
				}
				in.Add(1)
				if n := now.Add(1); n > most {
					t.Errorf("%d calls at once, want at most %d", n, most)
				}
				if path == "/even" {
					if n := even.Add(1); n > 3 {
						t.Errorf("%d calls of a method at once, want at most 3", n)
					}
					even.Add(-1)
				}
				runtime.Gosched()
				now.Add(-1)
				c.end()
			}
		})
	}
	wg.Wait()
	if in.Load()+out.Load() != goroutines*rounds || in.Load() == 0 {
		t.Errorf("%d calls were let in and %d refused", in.Load(), out.Load())
	}
	var open []*called
	for range most {
		open = append(open, s.call(0, "/odd"))
	}
	for i, c := range open {
		if !c.in() {
			t.Errorf("in the end call %d was refused with %v", i, c.GotHeaders.Err())
		}
		c.end()
	}
}

func TestBadConfig(t *testing.T) {
	for _, tc := range []struct {
		cfg  limit.Config
		want string
	}{
		{limit.Config{MaxConcurrent: -1}, "option MaxConcurrent is -1, want 0 for no limit, or more"},
		{limit.Config{Rate: -0.5}, "option Rate is -0.5, want 0 for no limit, or calls per second"},
		{limit.Config{Rate: math.NaN()}, "option Rate is NaN, want 0 for no limit, or calls per second"},
		{limit.Config{Rate: math.Inf(1)}, "option Rate is +Inf, want 0 for no limit, or calls per second"},
		{limit.Config{Rate: 1, Burst: -1}, "option Burst is -1, want 0 for the calls of a second, or more"},
		{limit.Config{Burst: 5}, "option Burst is 5 and Rate is 0, want a Rate above 0 with it"},
		{limit.Config{Methods: map[string]limit.Config{"a.B/C": {}}}, `option Methods has "a.B/C", want a path that begins with a slash, as /service/method does`},
		{limit.Config{Methods: map[string]limit.Config{"/a.B/C": {Rate: -1}}}, `limits of "/a.B/C": option Rate is -1, want 0 for no limit, or calls per second`},
		{limit.Config{Methods: map[string]limit.Config{"/a.B/C": {Methods: map[string]limit.Config{"/x/y": {}}}}}, `option Methods of "/a.B/C" has Methods, want limits of the method alone`},
		{limit.Config{MaxConcurrent: 1, Methods: map[string]limit.Config{"/a.B/C": {}}}, `limits of "/a.B/C": options MaxConcurrent and Rate are 0, want one of them above 0`},
	} {
		t.Run(tc.want, func(t *testing.T) {
			if err := tc.cfg.Validate(); err == nil || err.Error() != tc.want {
				t.Errorf("Validate returned\n%v, want\n%s", err, tc.want)
			}
			b := callstack.NewBuilder("TEST")
			b.Add(limit.New(tc.cfg)).Terminal()
			if _, err := b.Build(callstack.ChannelArgs{}); err == nil || err.Error() != fmt.Sprintf(`callstack: TEST: filter "limit": %s`, tc.want) {
				t.Errorf("Build failed with %v", err)
			}
		})
	}
	for _, cfg := range []limit.Config{
		{}, {MaxConcurrent: math.MaxInt}, {Rate: math.MaxFloat64}, {Rate: math.SmallestNonzeroFloat64}, {Rate: 0.1, Burst: math.MaxInt},
		{Methods: map[string]limit.Config{"/a.B/C": {Rate: 1}}},
	} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("Validate of %+v returned %v", cfg, err)
		}
		if limit.New(cfg).Name() != limit.Name || cfg.Enabled() != (cfg.MaxConcurrent != 0 || cfg.Rate != 0 || cfg.Methods != nil) {
			t.Errorf("%+v: enabled %t", cfg, cfg.Enabled())
		}
	}
}

// TestTrace: a refusal is an event of its call, because of the headers.
func TestTrace(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	b := callstack.NewBuilder("TEST")
	b.Add(limit.New(limit.Config{Rate: 1, Burst: 1}))
	b.Add(connected.New()).Terminal()
	tr := &callstacktest.Transport{}
	s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("server", "client")})
	if err != nil {
		t.Fatal(err)
	}
	c := callstacktest.NewCall(s)
	for id := range uint64(2) {
		args := callstacktest.Server.Args()
		args.CallID = id + 1
		if err := c.Begin(args); err != nil {
			t.Fatal(err)
		}
		c.Do(transport.OpRecvInitialMetadata)
		tr.Streams()[0].Headers(nil, nil)
		c.Unref()
	}
	refused := 0
	events := rec.Events()
	for i, e := range events {
		if e.Op != "limit.refuse" {
			continue
		}
		refused++
		if e.Layer != 2 || e.Component != "filter:limit" || e.Call != 2 || e.Err == nil || e.Cause != events[i-1].ID {
			t.Errorf("the refusal is %+v", e)
		}
	}
	if refused != 1 {
		t.Errorf("%d refusals in the trace, want 1", refused)
	}
}
