package framescript

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxEvents is how many frames are kept that no step has looked at. Older ones
// are dropped; they are counted all the same.
const maxEvents = 1 << 16

// An input reads what the peer sends and keeps it for the steps.
type input struct {
	// Set by newInput, read-only afterwards.
	m      *monitor
	nc     net.Conn
	server bool
	out    *output
	log    func(string)

	// Owned by the reading goroutine.
	decoder *hpack.Decoder
	fields  []hpack.HeaderField
	block   *event // whose header block is not complete
	partial []byte

	// Guarded by m.mu.
	events          []event
	dropped         int
	closed          error // why reading ended; nil while it goes on
	ours            bool  // this side closed
	shut            bool  // reading is switched off
	answersSettings bool
	answersPing     bool
	violation       string // of flow control, by the peer
	credit          credit
	record          Record
}

func newInput(m *monitor, nc net.Conn, server bool, out *output, log func(string)) *input {
	in := &input{m: m, nc: nc, server: server, out: out, log: log, credit: newCredit()}
	in.record.Received = map[string]int{}
	in.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) { in.fields = append(in.fields, f) })
	in.decoder.SetAllowedMaxDynamicTableSize(1<<32 - 1) // scripts may announce anything
	return in
}

// gate switches reading on or off. What was read already is still looked at.
func (in *input) gate(on bool) {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.shut = !on
	in.m.changed.Broadcast()
}

// answer switches automatic answers. It answers also what has come before and
// no step has looked at, or it would depend on who is faster.
func (in *input) answer(settings, ping bool) {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.answersSettings, in.answersPing = settings, ping
	for i := range in.events {
		in.answerOne(&in.events[i])
	}
}

// answerOne answers a frame if answers are switched on. Caller holds m.mu.
func (in *input) answerOne(e *event) {
	switch {
	case e.answered || e.ack():
	case e.name == "SETTINGS" && in.answersSettings:
		e.answered = true
		in.out.answer(settingsAck)
	case e.name == "PING" && in.answersPing:
		e.answered = true
		in.out.answer(pingAck(e.data))
	}
}

// weClosed notes that the end of reading is this side's doing.
func (in *input) weClosed() {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.ours = true
}

// count returns how many frames have come, by the names of Record.Received.
func (in *input) count(name string) int {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	return in.record.Received[name]
}

// over reports whether the peer has said or done what a script waits for. That
// it takes nothing any more is no end while there is something to be read.
// Caller holds m.mu.
func (in *input) over(how string) bool {
	gone := in.closed != nil || in.shut && in.out.err != nil
	switch how {
	case "":
		return false
	case "goaway":
		return gone || len(in.record.GoAways) > 0
	default:
		return gone
	}
}

// sleep waits for d, or until the peer has ended as the script says.
func (in *input) sleep(d time.Duration, until string) error {
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.m.await(d, func() bool { return in.over(until) })
	return nil
}

// Read reads from the connection once reading is switched on.
func (in *input) Read(b []byte) (int, error) {
	in.m.mu.Lock()
	for in.shut && !in.m.aborted {
		in.m.changed.Wait()
	}
	in.m.mu.Unlock()
	return in.nc.Read(b)
}

// read reads until the connection ends.
func (in *input) read() {
	from := bufio.NewReaderSize(in, 16<<10)
	err := in.readPreface(from)
	framer := http2.NewFramer(nil, from)
	framer.AllowIllegalReads = true // what comes is shown, not judged
	framer.SetMaxReadFrameSize(1<<24 - 1)
	for err == nil {
		var f http2.Frame
		if f, err = framer.ReadFrame(); err != nil {
			break
		}
		err = in.take(f)
	}
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.closed = err
	if !in.ours {
		in.record.Closed = closeText(err)
	}
	in.push(event{name: "close", text: closeText(err)})
}

// closeText says how reading ended without naming ports, which change.
func closeText(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "EOF"
	case errors.As(err, &op):
		return op.Err.Error()
	default:
		return err.Error()
	}
}

// readPreface reads what a client sends first. RFC 9113 §3.4.
func (in *input) readPreface(from io.Reader) error {
	if !in.server {
		return nil
	}
	b := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(from, b); err != nil {
		return err
	}
	if string(b) != http2.ClientPreface {
		return fmt.Errorf("the client's preface is %q", b)
	}
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.push(event{name: "PREFACE"})
	return nil
}

// take puts a frame in the queue, once its header block is complete.
func (in *input) take(f http2.Frame) error {
	e := newEvent(f)
	fragment, ends := blockOf(f)
	if e.name == "HEADERS" || e.name == "PUSH_PROMISE" {
		in.block, in.partial = &e, in.partial[:0]
	}
	if e.hasBlock() {
		if in.block == nil {
			return errors.New("the peer sent CONTINUATION without HEADERS")
		}
		if in.partial = append(in.partial, fragment...); !ends {
			return nil
		}
		e, in.block = *in.block, nil
		in.fields = nil
		if _, err := in.decoder.Write(in.partial); err != nil {
			return fmt.Errorf("the peer's header block does not decode: %w", err)
		}
		if err := in.decoder.Close(); err != nil {
			return fmt.Errorf("the peer's header block does not decode: %w", err)
		}
		e.fields = in.fields
	}
	in.m.mu.Lock()
	defer in.m.mu.Unlock()
	in.note(&e)
	in.push(e)
	return nil
}

// note counts e, answers it, and applies what it says about credit.
// Caller holds m.mu.
func (in *input) note(e *event) {
	in.record.note(e)
	in.answerOne(e)
	switch {
	case e.name == "SETTINGS" && !e.ack():
		in.credit.settings(e.settings)
	case e.name == "SETTINGS":
		in.credit.acked()
	case e.name == "WINDOW_UPDATE":
		in.credit.granted(e.stream, int64(e.incr))
	case e.name == "DATA":
		if over := in.credit.received(e.stream, int64(e.length)); over > 0 && in.violation == "" {
			in.violation = fmt.Sprintf("the peer overran its window by %d bytes: %v", over, e)
		}
	}
}

// push puts e in the queue. Caller holds m.mu.
func (in *input) push(e event) {
	if len(in.events) >= maxEvents {
		in.events = in.events[:copy(in.events, in.events[len(in.events)/2:])]
		in.dropped += maxEvents / 2
	}
	in.events = append(in.events, e)
	if in.log != nil {
		in.log(e.String())
	}
	in.m.changed.Broadcast()
}
