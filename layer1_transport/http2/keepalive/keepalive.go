package keepalive

import (
	"errors"
	"time"
)

// Never as a [Params.Time] is no keepalive, which only a server has to say.
const Never time.Duration = -1

// Params tune keepalive. The zero value is the default of either end.
type Params struct {
	// Time is how long nothing must have been read before a PING is sent.
	// On a client zero and less mean never, and less than 10 s is raised to
	// 10 s. On a server zero means 2 h, less than zero never, and less than 1 s
	// is raised to 1 s.
	Time time.Duration

	// Timeout is how long nothing may be read after a PING before the
	// connection is closed. Zero and less mean 20 s, less than 10 ms is raised
	// to that. On Linux it also bounds how long TCP may wait for the peer to
	// acknowledge what was written. gRFC A18.
	Timeout time.Duration

	// PermitWithoutStream is for clients: whether to send PINGs while there
	// are no calls. Without it the connection sleeps then, and a dead peer is
	// found out with the first call. A server sends them in any case.
	PermitWithoutStream bool
}

// EnforcementPolicy is which PINGs of clients a server takes. The zero value is
// the default. Of the PINGs that come too early two are forgiven, until the
// server sends something for a call again; one more ends the connection.
type EnforcementPolicy struct {
	// MinTime is the least time between two PINGs. Zero means 5 min, less than
	// zero none.
	MinTime time.Duration

	// PermitWithoutStream says whether MinTime is enough also while the client
	// has no call open. Without it the least time is 2 h then.
	PermitWithoutStream bool
}

// What the zero values mean, and what the others are raised to.
const (
	// minClientTime keeps clients from being a load: a server that allows more
	// is not the only hop that the PINGs wake. gRFC A8.
	minClientTime     = 10 * time.Second
	minServerTime     = time.Second
	defaultServerTime = 2 * time.Hour

	// minTimeout keeps a mistaken unit from closing every connection.
	minTimeout     = 10 * time.Millisecond
	defaultTimeout = 20 * time.Second

	// defaultMinTime and idleMinTime are the least time between two PINGs, and
	// maxStrikes is how many that come earlier are forgiven: a flood of PINGs
	// is work without end (CVE-2019-9512).
	defaultMinTime = 5 * time.Minute
	idleMinTime    = 2 * time.Hour
	maxStrikes     = 2
)

// TooManyPings is the debug data of the GOAWAY that tells a client so; by
// gRPC's convention it is exactly this text. gRFC A8.
const TooManyPings = "too_many_pings"

// ErrTooManyPings is in the chain of the error of a connection that the peer
// has ended because it was asked too often for a sign of life.
var ErrTooManyPings = errors.New("the peer does not take that many PINGs")

// Client returns p as a client uses it: with defaults filled in and Time 0 for
// never.
func (p Params) Client() Params {
	if p.Time > 0 {
		p.Time = max(p.Time, minClientTime)
	}
	return p.fill()
}

// Server returns p as a server uses it: with defaults filled in and Time 0 for
// never.
func (p Params) Server() Params {
	if p.Time == 0 {
		p.Time = defaultServerTime
	}
	if p.Time > 0 {
		p.Time = max(p.Time, minServerTime)
	}
	p.PermitWithoutStream = true
	return p.fill()
}

func (p Params) fill() Params {
	p.Time = max(p.Time, 0)
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	p.Timeout = max(p.Timeout, minTimeout)
	return p
}

// Doubled returns p for the next connection to a server that found the PINGs
// of p too many. gRFC A8.
func (p Params) Doubled() Params {
	const most = 1<<63 - 1
	if p = p.Client(); p.Time > most/2 {
		p.Time = most
	} else {
		p.Time *= 2
	}
	return p
}

// Assumed is the policy that a client with p supposes its server to have: the
// default, or what lets the PINGs of p pass. p is what [Params.Client] returned.
func (p Params) Assumed() EnforcementPolicy {
	policy := EnforcementPolicy{MinTime: defaultMinTime}
	if p.Time > 0 {
		policy.MinTime = min(policy.MinTime, p.Time)
		policy.PermitWithoutStream = p.PermitWithoutStream
	}
	return policy
}
