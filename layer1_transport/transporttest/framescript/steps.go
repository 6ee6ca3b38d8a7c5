package framescript

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A counter is a variable that a loop changes.
type counter struct {
	name        string
	start, step value
}

// A repeatStep is "repeat … end".
type repeatStep struct {
	times    value
	counters []counter
	until    string // "", "goaway" or "close"
	body     []step
}

// run plays the body. With until, the loop also ends when the peer has said or
// done that, or takes and sends nothing any more.
func (r *repeatStep) run(p *peer) error {
	times, err := p.vars.number(r.times)
	if err != nil {
		return err
	}
	now := make([]uint64, len(r.counters))
	by := make([]uint64, len(r.counters))
	for i, c := range r.counters {
		if now[i], err = p.vars.number(c.start); err != nil {
			return err
		}
		if by[i], err = p.vars.number(c.step); err != nil {
			return err
		}
	}
	for range times {
		if r.until != "" && p.ended(r.until) {
			return nil
		}
		for i, c := range r.counters {
			p.vars[c.name] = strconv.FormatUint(now[i], 10)
			now[i] += by[i]
		}
		err := p.play(r.body)
		if r.until != "" && (errors.Is(err, errBroken) || errors.Is(err, errGone)) {
			p.forgive()
			return nil
		}
		if err != nil {
			return err
		}
	}
	for i, c := range r.counters { // for what follows the loop
		p.vars[c.name] = strconv.FormatUint(now[i], 10)
	}
	return nil
}

// A rawStep is "raw HEX".
type rawStep struct{ bytes value }

func parseRaw(rest []word) (action, error) {
	text, err := one(rest, "hexadecimal bytes")
	if err != nil {
		return nil, err
	}
	v, err := newValue(text)
	if err == nil && v.parts == nil {
		_, err = parseHex(text)
	}
	return rawStep{v}, err
}

func (r rawStep) run(p *peer) error {
	text, err := p.vars.text(r.bytes)
	if err != nil {
		return err
	}
	b, err := parseHex(text)
	if err != nil {
		return err
	}
	return p.out.append(b)
}

// An ignoreStep is "ignore KIND…".
type ignoreStep []string

func parseIgnore(rest []word) (action, error) {
	names, err := bare(rest)
	for _, n := range names {
		if _, ok := expectable[n]; !ok && n != "nothing" {
			return nil, fmt.Errorf("%q is no frame", clip(n))
		}
	}
	return ignoreStep(names), err
}

func (s ignoreStep) run(p *peer) error { p.ignored = s; return nil }

// An answerStep is "answer SETTINGS PING" or "answer nothing".
type answerStep []string

func parseAnswer(rest []word) (action, error) {
	names, err := bare(rest, "SETTINGS", "PING", "nothing")
	return answerStep(names), err
}

func (s answerStep) run(p *peer) error {
	p.in.answer(slices.Contains(s, "SETTINGS"), slices.Contains(s, "PING"))
	return nil
}

// A readingStep is "reading on" or "reading off".
type readingStep bool

func parseReading(rest []word) (action, error) {
	text, err := one(rest, "on or off")
	if err == nil && text != "on" && text != "off" {
		err = fmt.Errorf("%q is neither on nor off", clip(text))
	}
	return readingStep(text == "on"), err
}

func (s readingStep) run(p *peer) error { p.in.gate(bool(s)); return nil }

// A receiveBufferStep is "receive_buffer BYTES".
type receiveBufferStep struct{ size value }

func parseReceiveBuffer(rest []word) (action, error) {
	text, err := one(rest, "a number of bytes")
	if err != nil {
		return nil, err
	}
	v, err := number(text)
	return receiveBufferStep{v}, err
}

// run makes the kernel's buffer small, so that a peer that is not read from
// notices soon. Connections in memory have no such buffer.
func (s receiveBufferStep) run(p *peer) error {
	n, err := p.vars.number(s.size)
	if err != nil {
		return err
	}
	if c, ok := p.nc.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(int(n))
	}
	return nil
}

// A dripStep is "drip BYTES every=DURATION" or "drip off".
type dripStep struct {
	size  value
	every time.Duration
}

func parseDrip(rest []word) (action, error) {
	if len(rest) == 1 && rest[0].String() == "off" {
		return dripStep{size: value{text: "0"}}, nil
	}
	if len(rest) != 2 || rest[0].op != "" || rest[1].key != "every" {
		return nil, errors.New("want a number of bytes and every=duration, or off")
	}
	v, err := number(rest[0].key)
	if err != nil {
		return nil, err
	}
	every, err := duration(rest[1])
	return dripStep{v, every}, err
}

func (s dripStep) run(p *peer) error {
	n, err := p.vars.number(s.size)
	if err == nil {
		err = p.out.drain() // what was sent before does not drip
	}
	p.out.drip(int(n), s.every)
	return err
}

// A waitStep is "wait DURATION".
type waitStep time.Duration

func parseWait(rest []word) (action, error) {
	text, err := one(rest, "a duration")
	if err != nil {
		return nil, err
	}
	d, err := duration(word{val: text})
	return waitStep(d), err
}

func (s waitStep) run(p *peer) error { return p.in.sleep(time.Duration(s), "") }

// A lingerStep is "linger DURATION [until=goaway|close]".
type lingerStep struct {
	d     time.Duration
	until string
}

func parseLinger(rest []word) (action, error) {
	if len(rest) == 0 || len(rest) > 2 || rest[0].op != "" {
		return nil, errors.New("want a duration, and perhaps until=")
	}
	d, err := duration(word{val: rest[0].key})
	s := lingerStep{d: d, until: "close"}
	if len(rest) == 2 {
		s.until = rest[1].val
		if rest[1].key != "until" || s.until != "goaway" && s.until != "close" {
			return nil, fmt.Errorf("%q, want until=goaway or until=close", clip(rest[1].String()))
		}
	}
	return s, err
}

// run waits for whatever the peer does, which is never an error.
func (s lingerStep) run(p *peer) error {
	p.forgive()
	return p.in.sleep(s.d, s.until)
}

// A limitStep is "limit DURATION".
type limitStep time.Duration

func parseLimit(rest []word) (action, error) {
	w, err := parseWait(rest)
	if err != nil {
		return nil, err
	}
	return limitStep(w.(waitStep)), nil
}

func (s limitStep) run(p *peer) error {
	if p.fixedLimit == 0 {
		p.limit = time.Duration(s)
	}
	return nil
}

// A setStep is "set name=value…".
type setStep []arg

func parseSet(rest []word) (action, error) {
	var s setStep
	for _, w := range rest {
		v, err := newValue(w.val)
		if err != nil {
			return nil, err
		}
		if w.op != "=" || !isName(w.key) {
			return nil, fmt.Errorf("%q is not name=value", clip(w.String()))
		}
		s = append(s, arg{w.key, w.op, v})
	}
	return s, nil
}

func (s setStep) run(p *peer) error {
	for _, a := range s {
		text, err := p.vars.text(a.val)
		if err != nil {
			return err
		}
		p.vars[a.key] = text
	}
	return nil
}

// A countStep is "count KIND [ACK] [code=…] [min=n] [max=n]".
type countStep struct {
	name     string // as in Record.Received
	min, max value
}

func parseCount(rest []word) (action, error) {
	if len(rest) == 0 || rest[0].op != "" {
		return nil, errors.New("of which frame?")
	}
	if _, ok := expectable[rest[0].key]; !ok {
		return nil, fmt.Errorf("%q is no frame", clip(rest[0].key))
	}
	s := countStep{rest[0].key, value{text: "0"}, value{text: "18446744073709551615"}}
	for _, w := range rest[1:] {
		var err error
		switch {
		case w.String() == "ACK":
			s.name += " ACK"
		case w.key == "code" && w.op == "=":
			s.name += " " + w.val
			_, err = parseCode(w.val)
		case w.key == "min" && w.op == "=":
			s.min, err = number(w.val)
		case w.key == "max" && w.op == "=":
			s.max, err = number(w.val)
		default:
			err = fmt.Errorf("%q is none of ACK, code=, min= and max=", clip(w.String()))
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run compares what has come so far.
func (s countStep) run(p *peer) error {
	least, err := p.vars.number(s.min)
	if err != nil {
		return err
	}
	most, err := p.vars.number(s.max)
	if err != nil {
		return err
	}
	if n := uint64(p.in.count(s.name)); n < least || n > most {
		return fmt.Errorf("%d %s came, want %d to %d", n, s.name, least, most)
	}
	return nil
}

// A closeStep ends the connection from this side.
type closeStep uint8

const (
	halfClose  closeStep = iota // "half_close": FIN, and reading goes on
	fullClose                   // "close"
	resetClose                  // "reset": RST where the connection has it
)

func parseClose(rest []word, how closeStep) (action, error) {
	_, err := bare(rest, "nothing")
	return how, err
}

func (s closeStep) run(p *peer) error {
	if s == resetClose {
		if c, ok := p.nc.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0) // fails if it is closed already, which is the aim
		}
	} else if err := p.out.drain(); err != nil {
		return err
	}
	if s != halfClose {
		p.in.weClosed()
		return p.nc.Close()
	}
	c, ok := p.nc.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("half_close: the connection cannot close one direction alone")
	}
	return c.CloseWrite()
}
