package surfacetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// How long the cases wait where time is real. In a bubble the same spans pass
// at once, and exactly.
const (
	// patience is how long an event that has to come may take.
	patience = 20 * time.Second
	// silence is how long a queue is watched for an event that must not come.
	silence = 30 * time.Millisecond
	// short is a deadline that is meant to pass. It is long enough for a
	// connection and a round trip first, on a machine with time to spare; on
	// one without the case is run again with more of it, see meanwhile.
	short = 150 * time.Millisecond
	// retryDelay is how long channels wait before they connect again, in place
	// of seconds.
	retryDelay = 20 * time.Millisecond
)

// A rig is what a case works with: a server, a channel to it and, as in gRPC
// core's suite, one queue for the events of both. Only the goroutine of the
// test uses it.
type rig struct {
	*testing.T
	fixture *Fixture
	link    Link
	tc      *testCase

	server  *surface.Server
	channel *surface.Channel
	queue   *cq.Queue

	// passing is the deadline before which the case has something to do, zero
	// for none, and scale how much longer than usual it leaves for that.
	passing time.Time
	scale   time.Duration
	tooSlow bool // that was not enough

	// frees give up the calls at the end, when nobody writes to them any more.
	frees []func()
}

// newRig makes the link, and the ends unless the case does so itself.
func newRig(t *testing.T, f *Fixture, tc *testCase, scale time.Duration) *rig {
	cfg := cq.Config{Name: "case", Debug: true}
	link := f.Open(t)
	if l, is := link.(*tracedLink); is {
		cfg.Observer = surface.NewQueueObserver(l.end("queue"))
	}
	r := &rig{T: t, fixture: f, tc: tc, link: link, queue: cq.New(cq.Next, cfg), scale: scale}
	t.Cleanup(r.finish)
	if !tc.bare {
		r.startServer(tc.server...)
		r.openChannel(tc.channel...)
	}
	return r
}

// newServer makes a server that nobody can reach yet.
func (r *rig) newServer(opts ...surface.ServerOption) *surface.Server {
	r.Helper()
	s := surface.NewServer(append(r.link.ServerOptions(), opts...)...)
	if err := s.RegisterCompletionQueue(r.queue); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(s.Close)
	return s
}

// startServer makes a server and serves it.
func (r *rig) startServer(opts ...surface.ServerOption) {
	r.Helper()
	r.server = r.newServer(opts...)
	r.serve()
}

// serve makes r.server reachable.
func (r *rig) serve() {
	r.Helper()
	if err := r.link.Serve(r.server); err != nil {
		r.Fatal(err)
	}
}

// shutdownAndNotify begins the end of the server, which posts tag.
func (r *rig) shutdownAndNotify(tag cq.Tag) {
	r.Helper()
	if fault := r.server.ShutdownAndNotify(r.queue, tag); fault != surface.CallOK {
		r.Fatalf("ShutdownAndNotify: %v", fault)
	}
}

// openChannel makes the channel.
func (r *rig) openChannel(opts ...surface.ChannelOption) {
	r.Helper()
	if !r.fixture.Virtual {
		opts = append([]surface.ChannelOption{surface.WithBackoff(backoff.Config{BaseDelay: retryDelay, MaxDelay: retryDelay})}, opts...)
	}
	ch, err := r.link.NewChannel(opts...)
	if err != nil {
		r.Fatal(err)
	}
	r.channel = ch
	r.Cleanup(ch.Close)
}

// meanwhile returns a deadline that is meant to pass after what the case does
// first, which ends with a call of passes. Where it passes before, on a machine
// that is busy, the case has shown nothing and is run again with more time.
func (r *rig) meanwhile() time.Time {
	r.passing = time.Now().Add(short * r.scale)
	return r.passing
}

// passes says that from here on the deadline may pass.
func (r *rig) passes() { r.passing = time.Time{} }

// unexpected fails the case, unless it was too slow to be judged.
func (r *rig) unexpected(format string, args ...any) {
	r.Helper()
	if !r.fixture.Virtual && !r.passing.IsZero() && time.Now().After(r.passing) {
		r.tooSlow = true
		r.Skipf("to be run again, since the deadline came first: "+format, args...)
	}
	r.Fatalf(format, args...)
}

// connect connects the channel, so that a case can begin with a connection.
func (r *rig) connect() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.channel.Ready(ctx); err != nil {
		r.Fatal(err)
	}
}

// wantNow checks that it is t: exactly where time is virtual, elsewhere that t
// has come.
func (r *rig) wantNow(t time.Time) {
	r.Helper()
	if late := time.Since(t); late < 0 || r.fixture.Virtual && late > 0 {
		r.Errorf("this comes %v after its time", late)
	}
}

// finish runs when the ends are closed: whatever was begun has to post its
// event, so that the queue drains.
func (r *rig) finish() {
	defer func() {
		for _, free := range r.frees {
			free()
		}
	}()
	r.queue.Shutdown()
	for {
		ev := r.queue.Next(time.Now().Add(patience))
		switch ev.Type {
		case cq.QueueShutdown:
			return
		case cq.QueueTimeout:
			r.Errorf("the queue does not drain: %d operations never completed", r.queue.Pending())
			return
		}
	}
}

// lacks reports whether the fixture cannot do c.
func (r *rig) lacks(c Capability) bool { return slices.Contains(r.fixture.Lacks, c) }

// bulk is n, for the length of a message, or less where bytes are slow.
func (r *rig) bulk(n int) int {
	if r.lacks(Bulk) {
		return n / 256
	}
	return n
}

// An expected is an event that a case waits for.
type expected struct {
	tag     cq.Tag
	success bool
	either  bool // success does not matter
}

func ok(tag cq.Tag) expected     { return expected{tag: tag, success: true} }
func fails(tag cq.Tag) expected  { return expected{tag: tag} }
func either(tag cq.Tag) expected { return expected{tag: tag, either: true} }

// verify waits for the events, which come in any order and with no other
// between them: gRPC core's Expect and Verify.
func (r *rig) verify(want ...expected) {
	r.Helper()
	for len(want) > 0 {
		got := r.next()
		i := slices.IndexFunc(want, func(w expected) bool { return w.tag == got.Tag })
		if i < 0 || !want[i].either && want[i].success != got.Success {
			r.unexpected("event: tag %v success=%t, want %s", got.Tag, got.Success, describe(want))
		}
		want = slices.Delete(want, i, i+1)
	}
}

// next waits for an event, which has to come.
func (r *rig) next() cq.Event {
	r.Helper()
	ev := r.queue.Next(time.Now().Add(patience))
	if ev.Type != cq.OpComplete {
		r.unexpected("the queue returns %v, want an event", ev.Type)
	}
	return ev
}

// quiet checks that no event comes.
func (r *rig) quiet() {
	r.Helper()
	var ev cq.Event
	if r.fixture.Virtual {
		synctest.Wait()
		ev = r.queue.TryNext()
	} else {
		ev = r.queue.Next(time.Now().Add(silence))
	}
	if ev.Type != cq.QueueTimeout {
		r.unexpected("event: %v tag %v success=%t, want none", ev.Type, ev.Tag, ev.Success)
	}
}

// describe lists events for the text of a failure.
func describe(want []expected) string {
	var list []string
	for _, w := range want {
		how := fmt.Sprintf("success=%t", w.success)
		if w.either {
			how = "either"
		}
		list = append(list, fmt.Sprintf("%v %s", w.tag, how))
	}
	return strings.Join(list, ", ")
}
