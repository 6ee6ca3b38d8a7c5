package keepalive

import "time"

// An Enforcer counts the PINGs of one end as a server counts those of a client.
// A server uses it to end the connection, a client to know how it stands.
type Enforcer struct {
	// Set by NewEnforcer, read-only afterwards.
	policy EnforcementPolicy

	last    time.Time // the last PING, zero if there was none
	strikes int
	excused bool
}

// NewEnforcer returns an enforcer of policy.
func NewEnforcer(policy EnforcementPolicy) Enforcer {
	if policy.MinTime == 0 {
		policy.MinTime = defaultMinTime
	}
	return Enforcer{policy: policy}
}

// Excuse makes the next PING free and forgets the strikes. It is called for
// each frame that the server sends for a call: a client that measures the path
// answers each with a PING. It costs next to nothing.
func (e *Enforcer) Excuse() { e.excused = true }

// Early reports whether a PING at now would be a strike. streams says whether
// the client has any.
func (e *Enforcer) Early(now time.Time, streams bool) bool {
	least := e.policy.MinTime
	if !streams && !e.policy.PermitWithoutStream {
		least = idleMinTime
	}
	return !e.excused && !e.last.IsZero() && now.Before(e.last.Add(least))
}

// Ping counts a PING and reports whether it is one too many.
func (e *Enforcer) Ping(now time.Time, streams bool) bool {
	early := e.Early(now, streams)
	if e.excused {
		e.excused, e.strikes = false, 0
	}
	e.last = now
	if early {
		e.strikes++
	}
	return e.strikes > maxStrikes
}

// Spare reports whether another PING at now would leave a server with
// something to forgive.
func (e *Enforcer) Spare(now time.Time, streams bool) bool {
	return e.strikes+1 < maxStrikes || !e.Early(now, streams)
}
