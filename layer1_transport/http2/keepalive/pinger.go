package keepalive

import "time"

// An Action is what a [Pinger] wants done.
type Action uint8

const (
	// Wait: nothing.
	Wait Action = iota
	// Ping: send a PING.
	Ping
	// Dead: give the connection up.
	Dead
)

// lateness is how much later than it asked a [Pinger] may be called before it
// doubts its own process.
const lateness = time.Second

// A Pinger watches the silence on a connection.
//
// Invariant: asked is zero, or the PING that was sent then has been followed by
// nothing, as far as the last call of Check knew.
type Pinger struct {
	// Set by NewPinger, read-only afterwards.
	params Params

	asked   time.Time // when the PING was sent, zero if none is awaited
	due     time.Time // when the peer is dead
	asleep  bool      // nothing is watched until a stream begins
	doubted bool      // due was put off once
}

// NewPinger returns a pinger for params that [Params.Client] or [Params.Server]
// returned. It is asleep.
func NewPinger(params Params) Pinger { return Pinger{params: params, asleep: params.Time > 0} }

// On reports whether there is any keepalive.
func (p *Pinger) On() bool { return p.params.Time > 0 }

// Timeout returns how long the peer has to answer.
func (p *Pinger) Timeout() time.Duration { return p.params.Timeout }

// Asleep reports whether Check must be called when a stream begins.
func (p *Pinger) Asleep() bool { return p.asleep }

// Check says what to do and when to call again; zero is not before a stream
// begins. now is not before lastRead, the time of the last read, and streams
// says whether there are any.
//
// The time since the last read counts while the pinger sleeps too: after a long
// sleep the first stream has its PING at once, so that a dead peer is found out
// after Timeout and not after Time and Timeout. gRFC A8.
func (p *Pinger) Check(now, lastRead time.Time, streams bool) (Action, time.Time) {
	if !p.On() {
		return Wait, time.Time{}
	}
	if !p.asked.IsZero() {
		if lastRead.Before(p.asked) {
			return p.await(now)
		}
		p.asked = time.Time{}
	}
	if p.asleep = !streams && !p.params.PermitWithoutStream; p.asleep {
		return Wait, time.Time{}
	}
	if next := lastRead.Add(p.params.Time); now.Before(next) {
		return Wait, next
	}
	p.asked, p.due, p.doubted = now, now.Add(p.params.Timeout), false
	return Ping, p.nextLook(now)
}

// nextLook is when to look again while a PING is awaited: what is read from now
// on can make the next one due before this one is overdue.
func (p *Pinger) nextLook(now time.Time) time.Time {
	if next := now.Add(p.params.Time); next.Before(p.due) {
		return next
	}
	return p.due
}

// await is Check while a PING has no answer. To be called much too late means
// that this process has slept, and the answer may be here and not read yet: the
// reader is given a moment, once.
func (p *Pinger) await(now time.Time) (Action, time.Time) {
	if now.Sub(p.due) >= lateness && !p.doubted {
		p.doubted = true
		p.due = now.Add(lateness)
	}
	if now.Before(p.due) {
		return Wait, p.nextLook(now)
	}
	return Dead, time.Time{}
}
