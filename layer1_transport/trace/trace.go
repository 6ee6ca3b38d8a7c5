package trace

import "time"

// A Sink receives events. Emit may be called from any goroutine at any time
// and must not block for long. A sink that panics is contained by nobody: it
// is part of the program that set it.
type Sink interface {
	// Emit takes an event, which it must not keep after it returns, and
	// returns its number, never 0. Numbers grow. It may be called while locks
	// of the library are held, so it must not call back into the library.
	Emit(e *Event) EventID

	// Level says how much the emitters are to tell. It does not change.
	Level() Level
}

// An EventID is the number of an event in its sink. 0 is none.
type EventID uint64

// A Level is how much events tell.
type Level uint8

const (
	// LevelEvents tells names, identifiers and lengths. It holds no secrets.
	LevelEvents Level = iota
	// LevelValues adds the values of header fields, which may be secrets.
	LevelValues
	// LevelBytes adds the bytes of frames, which hold everything.
	LevelBytes
)

// An Event is one thing that happened.
type Event struct {
	// Cause is the event that led to this one, 0 if unknown.
	Cause EventID

	// Layer is 0 for the socket, 1 to 5 for the layers, 6 for the application.
	Layer uint8
	// Component is who within the layer, such as "http2" or "filter:deadline".
	Component string
	// Op is what happened, such as "frame" or "start_batch".
	Op string
	// Dir is which way it went.
	Dir Dir

	// The objects that it concerns; 0 where none. Conn and Call are numbers
	// that the sink's user can tell apart, Stream is HTTP/2's.
	Conn, Call uint64
	Stream     uint32
	Batch      uint32
	Tag        string

	// Text is the rest for a human: ops of a batch, the name of a frame.
	Text string
	// Size is a length in bytes, where there is one.
	Size int

	// Fields are header fields, in order. Below LevelValues the values of
	// metadata and of grpc-message, which may be secrets, are empty.
	Fields []Field
	// Bytes are the bytes of a frame at LevelBytes. They are valid during
	// Emit only. Offset is where they stand in the bytes of their direction.
	Bytes  []byte
	Offset int64

	// Err is how it failed, nil if it did not.
	Err error

	// Time is set by sinks that keep events.
	Time time.Time
}

// A Field is one header field.
type Field struct {
	Name, Value string
}

// A Dir is a direction: across the wire or between the layers.
type Dir uint8

const (
	// DirNone has no direction.
	DirNone Dir = iota
	// DirSend is towards the peer.
	DirSend
	// DirRecv is from the peer.
	DirRecv
	// DirDown is from a layer to the one below.
	DirDown
	// DirUp is from a layer to the one above.
	DirUp
)

var dirNames = [...]string{"", "send", "recv", "down", "up"}

// String returns the direction as one word.
func (d Dir) String() string {
	if int(d) < len(dirNames) {
		return dirNames[d]
	}
	return "invalid"
}

// Role tells the sink what the calling goroutine is for, such as "http2
// reader". It is called once at the start of a goroutine and is free without
// a sink.
func Role(s Sink, role string) {
	if s != nil {
		emitRole(s, role)
	}
}

func emitRole(s Sink, role string) {
	s.Emit(&Event{Component: "goroutine", Op: OpRole, Text: role})
}

// Socket tells of what happens to a socket before a transport has it: op is
// "dial", "accept" or "tls", and address the peer's. It is free without a sink.
func Socket(s Sink, op, address string, err error) {
	if s != nil {
		emitSocket(s, op, address, err)
	}
}

func emitSocket(s Sink, op, address string, err error) {
	s.Emit(&Event{Component: "socket", Op: op, Text: address, Err: err})
}

// OpRole is the Op of the events by which a goroutine says what it is for.
const OpRole = "role"
