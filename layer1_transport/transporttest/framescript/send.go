package framescript

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/net/http2"
)

// maxPayload is the longest payload that a frame can announce. RFC 9113 §4.2.
const maxPayload = 1<<24 - 1

// A sendStep is "send FRAME …".
type sendStep struct{ phrase }

func parseSend(rest []word) (action, error) {
	f, err := parsePhrase(rest, kinds)
	if err != nil {
		return nil, err
	}
	for _, a := range append(f.keys, f.fields...) {
		if a.op != "=" {
			return nil, fmt.Errorf("%q compares, which only expect and await do", a.key+a.op+clip(a.val.text))
		}
	}
	return &sendStep{f}, nil
}

// run sends one frame, or several where the script says how to cut.
func (s *sendStep) run(p *peer) error {
	e := &evaluation{f: &s.phrase, vars: p.vars}
	if s.name == "DATA" {
		return p.sendData(e)
	}
	p.frame.Reset()
	if err := p.encode(s.name, e); err != nil {
		return err
	}
	if e.err != nil {
		return e.err
	}
	if s.name == "HEADERS" || s.name == "PUSH_PROMISE" || s.name == "CONTINUATION" {
		return p.out.appendBlock(p.frame.Bytes(), s.flag("END_HEADERS", true))
	}
	return p.out.append(p.frame.Bytes())
}

// encode writes a frame into p.frame.
func (p *peer) encode(name string, e *evaluation) error {
	switch name {
	case "PREFACE":
		p.frame.WriteString(http2.ClientPreface)
		return nil
	case "HEADERS":
		return p.encodeHeaders(e)
	case "PRIORITY":
		return p.framer.WritePriority(e.stream("stream"), priority(e))
	case "RST_STREAM":
		return p.framer.WriteRSTStream(e.stream("stream"), e.code())
	case "SETTINGS":
		return p.encodeSettings(e)
	case "PUSH_PROMISE":
		block, err := p.blocks.write(e)
		if err != nil {
			return err
		}
		return p.framer.WritePushPromise(http2.PushPromiseParam{
			StreamID: e.stream("stream"), PromiseID: e.stream("promised"),
			BlockFragment: block, EndHeaders: e.f.flag("END_HEADERS", true),
		})
	case "PING":
		var data [8]byte
		binary.BigEndian.PutUint64(data[:], e.number("data", 0))
		return p.framer.WritePing(e.f.flag("ACK", false), data)
	case "GOAWAY":
		return p.framer.WriteGoAway(e.stream("last"), e.code(), []byte(e.text("debug")))
	case "WINDOW_UPDATE":
		stream, incr := e.stream("stream"), uint32(e.number("incr", 0))
		p.m.mu.Lock()
		p.in.credit.recv.grant(stream, int64(incr))
		p.m.mu.Unlock()
		return p.framer.WriteWindowUpdate(stream, incr)
	case "CONTINUATION":
		block, err := p.blocks.write(e)
		if err != nil {
			return err
		}
		return p.framer.WriteContinuation(e.stream("stream"), e.f.flag("END_HEADERS", true), block)
	default:
		return p.encodeAny(e)
	}
}

// code returns the value of code=, NO_ERROR if it was not given.
func (e *evaluation) code() http2.ErrCode {
	if _, ok := e.f.key("code"); !ok {
		return http2.ErrCodeNo
	}
	c, err := parseCode(e.text("code"))
	e.note("code", err)
	return c
}

func priority(e *evaluation) http2.PriorityParam {
	return http2.PriorityParam{
		StreamDep: e.stream("depends"), Weight: uint8(e.number("weight", 0)), Exclusive: e.f.flag("EXCLUSIVE", false),
	}
}

// encodeHeaders writes HEADERS, and with split= CONTINUATION frames after it.
func (p *peer) encodeHeaders(e *evaluation) error {
	block, err := p.blocks.write(e)
	if err != nil {
		return err
	}
	stream, cut := e.stream("stream"), int(e.number("split", uint64(len(block))))
	if e.err != nil {
		return e.err
	}
	if cut <= 0 {
		cut = max(1, len(block))
	}
	last := e.f.flag("END_HEADERS", true)
	h := http2.HeadersFrameParam{
		StreamID: stream, EndStream: e.f.flag("END_STREAM", false), PadLength: uint8(e.number("pad", 0)),
		Priority: priority(e), BlockFragment: block[:min(cut, len(block))],
	}
	rest := block[len(h.BlockFragment):]
	h.EndHeaders = last && len(rest) == 0
	if err := p.framer.WriteHeaders(h); err != nil {
		return err
	}
	for len(rest) > 0 {
		part := rest[:min(cut, len(rest))]
		rest = rest[len(part):]
		if err := p.framer.WriteContinuation(stream, last && len(rest) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

// encodeSettings writes SETTINGS, its entries copies= times over.
func (p *peer) encodeSettings(e *evaluation) error {
	if e.f.flag("ACK", false) && len(e.f.fields) == 0 {
		return p.framer.WriteSettingsAck()
	}
	var all []http2.Setting
	for _, a := range e.f.fields {
		id, err := parseSetting(a.key)
		if err != nil {
			return err
		}
		n, err := e.vars.number(a.val)
		if err != nil {
			return fmt.Errorf("%s: %w", a.key, err)
		}
		all = append(all, http2.Setting{ID: id, Val: uint32(n)})
	}
	copies := e.number("copies", 1)
	if copies*uint64(len(all))*6 > maxPayload {
		return fmt.Errorf("%d copies of %d entries do not fit a frame", copies, len(all))
	}
	entries := all
	for range max(copies, 1) - 1 {
		all = append(all, entries...)
	}
	p.m.mu.Lock()
	p.in.credit.announce(all)
	p.m.mu.Unlock()
	return p.framer.WriteSettings(all...)
}

// encodeAny writes a frame of any type; length= lies about its payload.
func (p *peer) encodeAny(e *evaluation) error {
	payload := e.bytes("payload")
	length := e.number("length", uint64(len(payload)))
	if length > maxPayload {
		return fmt.Errorf("length %d does not fit a frame's header", length)
	}
	stream := e.stream("stream")
	p.frame.Write([]byte{
		byte(length >> 16), byte(length >> 8), byte(length), byte(e.number("type", 0)), byte(e.number("flags", 0)),
		byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream),
	})
	p.frame.Write(payload)
	p.m.mu.Lock()
	p.in.credit.blind = true
	p.m.mu.Unlock()
	return nil
}

// sendData sends DATA frames. RFC 9113 §6.1. Together they carry the prefix of
// message= or prefix=, then payload=, then len= or the rest of the message in
// zeros.
func (p *peer) sendData(e *evaluation) error {
	payload, err := dataPayload(e)
	if err != nil {
		return err
	}
	stream := e.stream("stream")
	cut := int(e.number("frame", uint64(len(payload))))
	pad := int(e.number("pad", 0))
	padded, obey := e.f.flag("PADDED", pad > 0), e.f.flag("OBEY", false)
	if e.err != nil {
		return e.err
	}
	if pad > 255 || cut < 0 || len(payload) > 0 && cut == 0 {
		return fmt.Errorf("pad=%d frame=%d, want at most 255 and at least 1", pad, cut)
	}
	var padding []byte
	if padded {
		padding = make([]byte, pad)
	}
	for {
		part := payload[:min(cut, len(payload))]
		payload = payload[len(part):]
		p.frame.Reset()
		end := e.f.flag("END_STREAM", false) && len(payload) == 0
		if err := p.framer.WriteDataPadded(stream, end, part, padding); err != nil {
			return err
		}
		if err := p.spend(stream, obey); err != nil {
			return err
		}
		if len(payload) == 0 {
			return nil
		}
	}
}

// spend sends the DATA frame in p.frame, with obey not before the peer allows.
func (p *peer) spend(stream uint32, obey bool) error {
	const frameHeader = 9
	n := int64(p.frame.Len() - frameHeader)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	send := &p.in.credit.send
	allowed := func() bool { return send.room(stream) >= n || p.in.over("close") }
	if obey && !p.m.await(p.limit, allowed) {
		return fmt.Errorf("no credit for %d bytes of stream %d in %v: the connection has %d, the stream %d",
			n, stream, p.limit, send.conn, send.initial+send.balance[stream])
	}
	send.spend(stream, n)
	return p.out.appendLocked(p.frame.Bytes())
}

// dataPayload makes what DATA frames carry.
func dataPayload(e *evaluation) ([]byte, error) {
	var b []byte
	raw := e.bytes("payload")
	_, message := e.f.key("message")
	_, prefix := e.f.key("prefix")
	zeros := e.number("len", 0)
	switch {
	case message && prefix:
		return nil, errors.New("message= and prefix= at once")
	case message:
		n := e.number("message", 0)
		b = append(b, byte(e.number("flag", 0)))
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		zeros += n - min(n, uint64(len(raw)))
	case prefix:
		b = append(b, byte(e.number("flag", 0)))
		b = binary.BigEndian.AppendUint32(b, uint32(e.number("prefix", 0)))
	}
	if zeros > maxExpansion {
		return nil, fmt.Errorf("%d bytes of DATA in one step", zeros)
	}
	b = append(b, raw...)
	return append(b, make([]byte, zeros)...), e.err
}
