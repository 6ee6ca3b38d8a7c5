package http2

import (
	"bytes"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An attacker is the peer of a session that has no connection. It sends raw
// frames and looks at what the session does. The session's clock is its own.
type attacker struct {
	t testing.TB
	c *conn
	s *session

	deaf     bool // handlers ignore that their streams have ended
	handlers []*attacked
	running  int // handlers that have not returned
	most     int // the most of them there were
	accepted int

	sent     map[frame.Type]int // frames of the session
	dataSent int64              // bytes of DATA
}

// An attacked is a handler whose client is an attacker.
type attacked struct {
	a    *attacker
	st   *stream
	refs int
}

func (h *attacked) Ref()      { h.refs++ }
func (h *attacked) Run(error) {}

// Unref is the end of the call; an obedient handler returns then.
func (h *attacked) Unref() {
	if h.refs--; h.refs == 0 && !h.a.deaf {
		h.back()
	}
}

// back is the return of the handler, when its stream has ended.
func (h *attacked) back() {
	h.a.running--
	h.st.Reset()
}

// newAttacker begins a session in role r whose peer has sent its SETTINGS.
func newAttacker(t testing.TB, r role, cfg Config) *attacker {
	a := &attacker{t: t, sent: map[frame.Type]int{}}
	a.c = bareConn(newSession(r, nil, cfg.withDefaults()))
	a.s = a.c.s
	if err := a.send(frame.AppendSettings(nil)); err != nil {
		t.Fatal(err)
	}
	return a
}

// send gives the session the frames of b, and accepts the calls in them. The
// error is that of the connection.
func (a *attacker) send(b []byte) error {
	for len(b) > 0 {
		h := frame.ParseHeader(b)
		end := frame.HeaderLen + int(h.Length)
		if err := a.s.step(h, b[frame.HeaderLen:end]); err != nil {
			a.settle()
			return err
		}
		b = b[end:]
		if in := &a.s.in; in.waiting {
			a.accept(in)
		}
		a.settle()
	}
	return nil
}

func (a *attacker) accept(in *incoming) {
	h := &attacked{a: a, st: a.c.NewStream().(*stream)}
	h.st.Init(h, in)
	a.handlers = append(a.handlers, h)
	a.accepted++
	a.running++
	a.most = max(a.most, a.running)
}

// settle delivers what is complete and takes what the session wants to send.
func (a *attacker) settle() {
	deliverAll(a.s.takeDirty())
	batch := a.s.out.Take()
	for b := bytes.Join(batch.Buffers(0), nil); len(b) > 0; {
		h := frame.ParseHeader(b)
		a.sent[h.Type]++
		if h.Type == frame.TypeData {
			a.dataSent += int64(h.Length)
		}
		b = b[frame.HeaderLen+int(h.Length):]
	}
	a.s.out.Recycle(batch)
}

// finish lets the handler of the last call end it in good order.
func (a *attacker) finish() {
	h := a.handlers[len(a.handlers)-1]
	b := &transport.StreamOpBatch{Ops: transport.OpSendTrailingMetadata, OnComplete: h}
	b.SendTrailingMetadata.MD = trailersOnly()
	a.s.perform(h.st, b)
	a.settle()
}

// repeat sends what frames returns for n calls, each on a stream of its own
// that begins at id, and returns how many were taken before the error.
func (a *attacker) repeat(n int, id uint32, frames func(id uint32) []byte) (int, error) {
	for i := range n {
		if err := a.send(frames(id + 2*uint32(i))); err != nil {
			return i, err
		}
	}
	return n, nil
}

// requestBlock is a request of gRPC in 40 bytes: POST http /a/b, application/grpc.
const requestBlock = "\x83\x86\x04\x04/a/b\x0f\x10\x10application/grpc\x00\x02te\x08trailers"

// request appends HEADERS that begin a call.
func request(b []byte, id uint32, flags frame.Flags) []byte {
	return append(frame.AppendHeader(b, len(requestBlock), frame.TypeHeaders, flags|frame.FlagEndHeaders, id), requestBlock...)
}

// fields appends HEADERS with fields as literals that no table takes.
func fields(b []byte, id uint32, flags frame.Flags, pairs ...string) []byte {
	var block []byte
	for _, s := range pairs {
		if len(s) > 126 {
			panic("a string of more than 126 bytes")
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		block = append(append(block, 0, byte(len(pairs[i]))), pairs[i]...)
		block = append(append(block, byte(len(pairs[i+1]))), pairs[i+1]...)
	}
	return append(frame.AppendHeader(b, len(block), frame.TypeHeaders, flags|frame.FlagEndHeaders, id), block...)
}

// data appends a DATA frame.
func data(b []byte, id uint32, flags frame.Flags, payload string) []byte {
	return append(frame.AppendHeader(b, len(payload), frame.TypeData, flags, id), payload...)
}

// wantCode checks that err ends the connection with that code.
func wantCode(t *testing.T, err error, code frame.ErrCode) {
	t.Helper()
	e, ok := err.(*frame.Error)
	if !ok || e.StreamID != 0 || e.Code != code {
		t.Errorf("error %v, want GOAWAY %v", err, code)
	}
}

// trailersOnly is the end of a call without an answer.
func trailersOnly() *metadata.List {
	l := &metadata.List{Known: metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}}
	l.SetStatus(uint32(status.OK), "")
	return l
}

// sendHeaders is the batch that begins a call of a client.
func sendHeaders(done transport.Done) *transport.StreamOpBatch {
	b := &transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata, OnComplete: done}
	b.SendInitialMetadata.MD = &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/a/b"}}
	return b
}
