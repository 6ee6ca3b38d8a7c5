package surfacetest

import (
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// How old connections become in the cases below, 10 % more or less, and how long
// they may be idle. Where time is real and a machine so slow that they pass before
// the call is made, it is made on the next connection, which has an age too.
const (
	connectionAge  = 500 * time.Millisecond
	connectionIdle = 400 * time.Millisecond
)

// ageCases have connections that end when they are old, or have nothing to do.
func ageCases() []testCase {
	age := func(grace time.Duration) []surface.ServerOption {
		return []surface.ServerOption{surface.WithMaxConnectionAge(connectionAge, grace)}
	}
	idle := []surface.ServerOption{surface.WithMaxConnectionIdle(connectionIdle)}
	return []testCase{
		{file: "max_connection_age", name: "MaxAgeForciblyClose", server: age(short), test: maxAgeForciblyClose},
		{file: "max_connection_age", name: "MaxAgeGracefullyClose", server: age(patience), test: maxAgeGracefullyClose},
		{file: "max_connection_idle", name: "MaxConnectionIdle", needs: []Capability{ClientChannel}, server: idle, test: maxConnectionIdle},
		{file: "ours/age", name: "NextConnection", needs: []Capability{ClientChannel}, server: age(patience), test: nextConnection},
		{file: "ours/age", name: "OpenCallIsNotIdle", server: idle, test: openCallIsNotIdle},
	}
}

// wantBetween checks that the time since start is from least to most: where time
// is real, least.
func (r *rig) wantBetween(start time.Time, least, most time.Duration) {
	r.Helper()
	if d := time.Since(start); d < least || r.fixture.Virtual && d > most {
		r.Errorf("this took %v, want from %v to %v", d, least, most)
	}
}

// maxAgeForciblyClose: a call that goes on when its connection is old is cut off
// after the grace, on both sides.
func maxAgeForciblyClose(r *rig) {
	start := time.Now()
	c, s := r.accepted()
	s.start(102, s.recvClose())
	r.verify(ok(102), ok(1))
	r.wantBetween(start, connectionAge*9/10+short, connectionAge*11/10+short)
	c.wantCode(status.Unavailable)
	s.wantCancelled(true)
	s.start(103, sendHeaders(), sendStatus(status.Unimplemented, "xyz"))
	r.verify(fails(103))
}

// maxAgeGracefullyClose: a call that ends within the grace ends well.
func maxAgeGracefullyClose(r *rig) {
	start := time.Now()
	c, s := r.accepted()
	r.awaitState(connectivity.Idle) // the client has been told to go
	r.wantBetween(start, connectionAge*9/10, connectionAge*11/10)
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// maxConnectionIdle: a channel whose connection has nothing to do is idle in the
// end, and connects again for the next call. What a server has answered counts
// until its handle is given up.
func maxConnectionIdle(r *rig) {
	r.connect()
	start := time.Now()
	c, s := r.accepted()
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
	s.Call.Release()
	r.awaitState(connectivity.Idle)
	r.wantBetween(start, connectionIdle, connectionIdle*9/8)
	simpleRequest(r)
}

// nextConnection: while a call ends on the old connection, the next one is made
// over another.
func nextConnection(r *rig) {
	c, s := r.accepted()
	r.awaitState(connectivity.Idle)
	next := r.callWith(surface.CallParams{Method: method})
	next.start(2, sendHeaders(), sendClose(), next.recvHeaders(), next.recvStatus())
	t := r.request(201)
	r.verify(ok(201))
	if a, b := s.Call.Peer(), t.Call.Peer(); a == b {
		r.Errorf("both calls came over the connection from %v", a)
	}
	for _, one := range []*serverCall{t, s} {
		one.start(202, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), one.recvClose())
		r.verify(ok(202), map[*serverCall]expected{t: ok(2), s: ok(1)}[one])
	}
	c.wantStatus(status.Unimplemented, "xyz")
	next.wantStatus(status.Unimplemented, "xyz")
}

// openCallIsNotIdle: a call that says nothing keeps its connection.
func openCallIsNotIdle(r *rig) {
	c, s := r.accepted()
	time.Sleep(3 * connectionIdle)
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.Unimplemented, "xyz")
}
