package trace

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Recorder keeps events in memory. Its endpoints are the sinks: one for each
// end of a connection, on one clock and with one numbering.
//
// All methods may be called at the same time.
type Recorder struct {
	// Set by NewRecorder, read-only afterwards.
	level Level
	start time.Time

	mu sync.Mutex
	// Guarded by mu.
	events []Record
	roles  map[int64]string // what a goroutine is for
	wire   pairing
}

// A Record is an event as a Recorder keeps it.
type Record struct {
	ID       EventID
	Endpoint string
	// Lane is what the goroutine that emitted it is for.
	Lane string
	// Elapsed is the time since the recorder was made.
	Elapsed time.Duration
	Event
}

// NewRecorder returns a recorder that asks for events at that level.
func NewRecorder(level Level) *Recorder {
	return &Recorder{level: level, start: time.Now(), roles: map[int64]string{}, wire: newPairing()}
}

// Endpoint returns the sink for one end, such as "client". peer is the name of
// the other end of its connections, with which received frames are paired.
func (r *Recorder) Endpoint(name, peer string) Sink {
	return &endpoint{r: r, name: name, peer: peer}
}

// Events returns what was recorded so far, in order.
func (r *Recorder) Events() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

type endpoint struct {
	r          *Recorder
	name, peer string
}

func (p *endpoint) Level() Level { return p.r.level }

func (p *endpoint) Emit(e *Event) EventID {
	goroutine, now := goroutineID(), time.Now()
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Op == OpRole {
		r.roles[goroutine] = e.Text
	}
	lane := r.roles[goroutine]
	if lane == "" {
		lane = "application" // no goroutine of the library: they all say what they are for
	}
	id := EventID(len(r.events) + 1)
	rec := Record{ID: id, Endpoint: p.name, Lane: lane, Elapsed: now.Sub(r.start), Event: *e}
	rec.Time = now
	rec.Fields, rec.Bytes = slices.Clone(e.Fields), bytes.Clone(e.Bytes)
	if e.Op == OpFrame {
		at := wireKey{connKey{p.name, e.Conn}, e.Offset}
		switch e.Dir {
		case DirSend:
			r.wire.send(at, id)
		case DirRecv:
			if sent := r.wire.receive(at, p.peer); sent != 0 {
				rec.Cause = sent
			}
		}
	}
	r.events = append(r.events, rec)
	return id
}

// OpFrame is the Op of the events for one frame on the wire. Offset is the
// place of its first byte in the bytes that its sender wrote.
const OpFrame = "frame"

// goroutineID returns the number that the runtime shows in stack traces. It is
// slow and used by recorders only.
func goroutineID() int64 {
	var buf [64]byte
	text := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte(" "))
	id, _ := strconv.ParseInt(string(number), 10, 64)
	return id
}
