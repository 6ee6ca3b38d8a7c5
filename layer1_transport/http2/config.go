package http2

import (
	"log/slog"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// The limits of a connection: what each is against stands beside it.
const (
	// defaultMaxStreams is how many calls a client may have open on one
	// connection of a server. It counts a call that the client has reset
	// until its handler has returned: otherwise resets make work without
	// end (CVE-2023-44487).
	defaultMaxStreams = 1024

	// assumedMaxStreams is how many calls a client begins before it has the
	// server's SETTINGS. RFC 9113 §6.5.2 sets no limit then.
	assumedMaxStreams = 100

	// defaultStreamWindow and defaultConnWindow are the receive windows that a
	// connection begins with. A message of 4 MiB does not fit the first; it is
	// credited whole once somebody reads it. They grow up to the others where
	// the network holds more (package bdp).
	defaultStreamWindow    = 1 << 20
	defaultConnWindow      = 4 << 20
	defaultMaxStreamWindow = 4 << 20
	defaultMaxConnWindow   = 16 << 20

	// maxUnread bounds the bytes of a connection that nobody has read yet,
	// together with those that the peer may still send. When half of it is
	// unread, streams get a window of narrowWindow until they are read, so that
	// those which nobody reads add at most that much each, and cannot use up
	// the window that the others need.
	maxUnread    = 16 << 20
	narrowWindow = 16 << 10

	// defaultHeaderList and maxHeaderFields bound a header list once decoded:
	// a small block of indexed fields can stand for a large list
	// (CVE-2026-49975).
	defaultHeaderList = 8 << 10
	maxHeaderFields   = 128

	// maxContinuations bounds the CONTINUATION frames of one block; empty
	// ones cost a peer nothing (CVE-2023-45288).
	maxContinuations = 8

	// maxResponseBlock is how long a header block of a server may be. One that
	// ends a call with a stack trace of 1 MiB fails that call, not the others of
	// the connection; beyond that it is a flood.
	maxResponseBlock = 1<<20 + 64<<10

	// keepBlock bounds the memory for header blocks that a connection keeps.
	keepBlock = 32 << 10

	// maxInformational bounds the 1xx responses before the real one.
	maxInformational = 16

	// maxSettings bounds the entries of one SETTINGS frame (CVE-2020-11080).
	maxSettings = 32

	// maxPendingControl is the number of waiting bytes beyond which the reader
	// stops until the peer has taken what it was sent: answers to PING,
	// SETTINGS and bad streams must not pile up (CVE-2019-9512, -9514, -9515).
	// Twice as much waits where a write is under way, and memory for it grows
	// in steps: 256 KiB in all. What a client's own calls send is not counted:
	// else two peers that both stop would wait for each other.
	maxPendingControl = 64 << 10

	// highWater is the number of waiting bytes beyond which streams keep their
	// messages, and a client begins no calls, so that a slow socket does not
	// fill memory.
	highWater = 256 << 10

	// maxSendFrame is the longest DATA frame that is sent, to a peer that takes
	// it: a long one keeps the other streams waiting.
	maxSendFrame = 64 << 10

	// settingsAckTime is how long the peer may take to acknowledge our
	// SETTINGS, before which it need not keep to them. RFC 9113 §6.5.3 leaves
	// the time open; a minute is more than any path needs.
	settingsAckTime = time.Minute

	// writeStall is how long the peer may take nothing at all; a write of which
	// it took a part starts anew. The end comes up to a quarter later, and on a
	// connection that is not of package net up to twice as late.
	writeStall = 10 * time.Second

	// defaultSendStall is how long a message may wait for the peer's windows.
	// A peer that grants none holds the memory of its calls at no cost
	// (CVE-2016-1546, CVE-2019-9511, -9517, CVE-2026-49975).
	defaultSendStall = 5 * time.Minute

	// stallProgress is how much of a message the peer must take in that time:
	// 14 bytes a second are more than drops, and less than any link carries.
	stallProgress = 4 << 10

	// stallGrace is how much longer a message may wait where only the window
	// of the connection is closed: streams that hold it may have ended.
	stallGrace = 10 * time.Second

	// handshakeTime is how long the peer may take to its first SETTINGS, a
	// client's preface included, where no context says so (CVE-2026-56853).
	handshakeTime = 10 * time.Second

	// headerBlockTime is how long a header block may take to arrive.
	headerBlockTime = 10 * time.Second

	// drainPingTime is how long the first GOAWAY of a graceful end may go
	// without an answer before the second is sent.
	drainPingTime = 5 * time.Second

	// lingerTime is how long a connection that was drained, or whose peer has
	// broken a rule, waits for the peer to close it, so that what was written
	// last is not lost to a TCP reset.
	lingerTime = time.Second

	// lingerReading is how long a server waits for a client that goes on to say
	// by WINDOW_UPDATE, less than lingerTime apart, that it reads.
	lingerReading = 10 * time.Second

	// refusedTime is how long a stream that a server has refused counts against
	// MaxStreams while the client has not ended it: what is refused has no
	// handler, whose slowness would bound how much of it a client can ask for.
	refusedTime = time.Second

	// closeWriteTime bounds the last write of a connection that is closed.
	closeWriteTime = 100 * time.Millisecond

	// recentResets is how many streams that a server has reset it remembers,
	// since frames of the client may still be on their way: as many as a
	// client may have open and not know of their end. RFC 9113 §5.1.
	recentResets = defaultMaxStreams

	// endedStreams is how many streams that the server has ended a client
	// remembers: frames on one of those are the server's fault, while one that
	// the client has cancelled may have frames on their way. RFC 9113 §5.1.
	endedStreams = 64

	// defaultFaultBurst is how many faults a peer may make at once, and
	// faultRefill the seconds in which as many become good again: the default
	// is 100 a second. A fault is a stream that we reset because the peer broke
	// a rule (CVE-2025-8671, CVE-2019-9514), a frame on a stream that is long
	// closed, or a SETTINGS frame after the first (CVE-2019-9515). A call that
	// ends in good order makes one good too.
	defaultFaultBurst = 1000
	faultRefill       = 10

	// defaultRapidResets is how many streams a client may open and reset at
	// once within one second more than it lets end in good order. Beyond that
	// the connection is read slowly, not ended (CVE-2023-44487): a proxy whose
	// users leave, or who hedges, does the same as an attacker, and the number
	// of handlers is bounded by MaxStreams in any case.
	defaultRapidResets = 1000

	// rapidReset is how old a stream must be for its reset to be no rapid one.
	// Older ones cost an attacker a place among MaxStreams.
	rapidReset = time.Second

	// resetPause is how long reading pauses when there were too many.
	resetPause = 10 * time.Millisecond
)

// Config tunes a connection. The zero value is ready to use.
type Config struct {
	// MaxStreams is how many streams the peer may have open at once. Zero
	// means 1024. A client sends nothing of it.
	MaxStreams uint32

	// StreamWindow and ConnWindow are the receive windows in bytes that the
	// connection begins with, at least 65535. Zero means 1 MiB and 4 MiB.
	// RFC 9113 §6.9.2.
	StreamWindow, ConnWindow int32

	// MaxStreamWindow and MaxConnWindow are what the windows may grow to when
	// a round trip brings so much that they limit the sender. Zero means 4 MiB
	// and 16 MiB, or no growth for a window that was given above.
	MaxStreamWindow, MaxConnWindow int32

	// MaxHeaderList is the largest header list that is accepted, as counted
	// by RFC 9113 §6.5.2. Zero means 8 KiB; it is capped at 1 GiB.
	MaxHeaderList uint32

	// EncoderTable is how many bytes of dynamic table this end uses to compress
	// the headers that it sends, as far as the peer allows it, gRPC core's
	// grpc.http2.hpack_table_size.encoder; DecoderTable is how many it allows
	// the peer. Zero means 4096, less none; they are capped at 1 GiB.
	// RFC 7541 §4.2.
	EncoderTable, DecoderTable int

	// FirstStreamID is the identifier of the first stream that a client opens,
	// gRPC core's grpc.http2.initial_sequence_number. Zero means 1, and so does
	// an even number: a client's streams are odd, RFC 9113 §5.1.1. A connection
	// whose identifiers are used up ends gracefully, and the next call goes to
	// another one; a start near 1<<31 shows it. A server has no use for it.
	FirstStreamID uint32

	// FaultBurst is how many faults the peer may make at once before the
	// connection is closed with ENHANCE_YOUR_CALM: streams that break a rule
	// of HTTP/2, and SETTINGS frames. A tenth of them becomes good again each
	// second, and one with each call that ends in good order. Zero means 1000.
	FaultBurst int

	// RapidResets is how many calls a second a client may cancel within a
	// second of making them and before half of their deadline, not counting
	// as many as end in good order; MaxStreams of them at once are always
	// fine. Beyond that a server pauses reading the connection, 10 ms each
	// time. Zero means 1000.
	RapidResets int

	// SendStall is how long a message may wait for the peer's flow-control
	// windows: if the peer takes less than 4 KiB of it meanwhile, its call ends
	// with UNAVAILABLE. Zero means 5 minutes, less never: then only the call's
	// deadline, if it has one, ends the wait for a peer that reads nothing.
	SendStall time.Duration

	// Keepalive is when this end asks a silent peer for a sign of life. The zero
	// value is never for a client, and every 2 h for a server.
	Keepalive keepalive.Params

	// Enforcement is, on a server, which PINGs of a client it takes. The zero
	// value is one in 5 min, and in 2 h while the client has no calls.
	Enforcement keepalive.EnforcementPolicy

	// SettingsTimeout is how long the peer may take to acknowledge SETTINGS.
	// Zero means a minute, less than zero any time.
	SettingsTimeout time.Duration

	// Logger gets a warning when a connection is lost. Nil logs nothing.
	Logger *slog.Logger

	// Trace gets the events of the connection. Nil is off.
	Trace trace.Sink
}

// withDefaults returns a copy with zero fields filled in.
func (c Config) withDefaults() Config {
	if c.MaxStreams == 0 {
		c.MaxStreams = defaultMaxStreams
	}
	c.StreamWindow, c.MaxStreamWindow = windows(c.StreamWindow, c.MaxStreamWindow, defaultStreamWindow, defaultMaxStreamWindow)
	c.ConnWindow, c.MaxConnWindow = windows(c.ConnWindow, c.MaxConnWindow, defaultConnWindow, defaultMaxConnWindow)
	if c.MaxHeaderList == 0 {
		c.MaxHeaderList = defaultHeaderList
	}
	c.MaxHeaderList = min(c.MaxHeaderList, 1<<30)
	c.EncoderTable, c.DecoderTable = tableBytes(c.EncoderTable), tableBytes(c.DecoderTable)
	if c.FirstStreamID%2 == 0 || c.FirstStreamID > frame.MaxStreamID {
		c.FirstStreamID = 1
	}
	if c.SendStall == 0 {
		c.SendStall = defaultSendStall
	}
	if c.FaultBurst <= 0 {
		c.FaultBurst = defaultFaultBurst
	}
	if c.SettingsTimeout == 0 {
		c.SettingsTimeout = settingsAckTime
	}
	if c.RapidResets <= 0 {
		c.RapidResets = defaultRapidResets
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// defaultTable is how large a dynamic table is of which nothing is said.
// RFC 9113 §6.5.2.
const defaultTable = 4096

// tableBytes fills in the default of a dynamic table.
func tableBytes(n int) int {
	if n == 0 {
		return defaultTable
	}
	return min(max(n, -1), 1<<30)
}

// windows fills in the defaults of a window and of what it may grow to.
func windows(first, most, defaultFirst, defaultMost int32) (int32, int32) {
	if most == 0 && first == 0 {
		most = defaultMost
	}
	if first == 0 {
		first = defaultFirst
		if most != 0 {
			first = min(first, most)
		}
	}
	first = max(first, frame.DefaultWindow)
	return first, max(most, first)
}
