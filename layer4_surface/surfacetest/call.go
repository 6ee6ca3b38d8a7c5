package surfacetest

import (
	"math/rand/v2"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// method is what the calls of the suite are made to, as in gRPC core's.
const method = "/foo"

// inFiveSeconds is the deadline of calls that are to end well.
func inFiveSeconds() time.Time { return time.Now().Add(5 * time.Second) }

// A clientCall is a call with room for what its operations bring.
type clientCall struct {
	surface.Call
	r *rig

	initial, trailing metadata.List
	trailersOnly      bool
	message           *transport.Buffer
	status            surface.CallStatus
}

// call creates a call to method with a deadline in five seconds.
func (r *rig) call() *clientCall {
	r.Helper()
	return r.callWith(surface.CallParams{Method: method, Deadline: inFiveSeconds()})
}

// callWith creates a call.
func (r *rig) callWith(p surface.CallParams) *clientCall {
	r.Helper()
	p.Queue = r.queue
	return r.own(r.channel.CreateCall(p))
}

// own keeps what a channel has made of an attempt to create a call.
func (r *rig) own(call surface.Call, err error) *clientCall {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	c := &clientCall{Call: call, r: r}
	r.frees = append(r.frees, c.free)
	return c
}

// free gives up what the case may have left.
func (c *clientCall) free() {
	c.message.Release()
	c.message = nil
	c.Release()
}

// start starts a batch, which has to be accepted.
func (c *clientCall) start(tag cq.Tag, ops ...surface.Op) {
	c.r.Helper()
	startBatch(c.r, c.Call, tag, ops)
}

func startBatch(r *rig, c surface.Call, tag cq.Tag, ops []surface.Op) {
	r.Helper()
	if fault := c.StartBatch(ops, tag); fault != surface.CallOK {
		r.Fatalf("StartBatch for tag %v: %v", tag, fault)
	}
}

// sendHeaders is send_initial_metadata with the pairs kv.
func sendHeaders(kv ...string) surface.Op {
	return surface.Op{Type: surface.SendInitialMetadata, SendMetadata: pairs(kv...)}
}

// sendMessage is send_message.
func sendMessage(text string) surface.Op {
	return surface.Op{Type: surface.SendMessage, Message: message(text)}
}

// sendClose is send_close_from_client.
func sendClose() surface.Op { return surface.Op{Type: surface.SendCloseFromClient} }

// recvHeaders is recv_initial_metadata.
func (c *clientCall) recvHeaders() surface.Op {
	return surface.Op{Type: surface.RecvInitialMetadata, RecvMetadata: &c.initial, TrailersOnly: &c.trailersOnly}
}

// recvMessage is recv_message, into c.message.
func (c *clientCall) recvMessage() surface.Op {
	c.message.Release()
	c.message = nil
	return surface.Op{Type: surface.RecvMessage, RecvMessage: &c.message}
}

// recvStatus is recv_status_on_client.
func (c *clientCall) recvStatus() surface.Op {
	return surface.Op{Type: surface.RecvStatusOnClient, RecvMetadata: &c.trailing, StatusResult: &c.status}
}

// wantStatus checks how the call ended.
func (c *clientCall) wantStatus(code status.Code, message string) {
	c.r.Helper()
	if c.status.Code != code || c.status.Message != message {
		c.r.Errorf("status = %v %q, want %v %q", c.status.Code, c.status.Message, code, message)
	}
}

// wantCode checks how the call ended, whatever the message.
func (c *clientCall) wantCode(codes ...status.Code) {
	c.r.Helper()
	for _, code := range codes {
		if c.status.Code == code {
			return
		}
	}
	c.r.Errorf("status = %v %q, want one of %v", c.status.Code, c.status.Message, codes)
}

// A serverCall is a requested call with room for what its operations bring.
type serverCall struct {
	surface.RequestedCall
	r *rig

	message   *transport.Buffer
	cancelled bool
	end       surface.CallStatus
}

// request posts a request for any call.
func (r *rig) request(tag cq.Tag) *serverCall {
	r.Helper()
	s := &serverCall{r: r}
	if fault := r.server.RequestCall(&s.RequestedCall, r.queue, r.queue, tag); fault != surface.CallOK {
		r.Fatalf("RequestCall: %v", fault)
	}
	r.frees = append(r.frees, s.free)
	return s
}

// requestRegistered posts a request for a call of m. payload says that m reads
// the first message.
func (r *rig) requestRegistered(tag cq.Tag, m *surface.RegisteredMethod, payload bool) *serverCall {
	r.Helper()
	s := &serverCall{r: r}
	s.WantPayload = payload
	if fault := r.server.RequestRegisteredCall(m, &s.RequestedCall, r.queue, r.queue, tag); fault != surface.CallOK {
		r.Fatalf("RequestRegisteredCall: %v", fault)
	}
	r.frees = append(r.frees, s.free)
	return s
}

func (s *serverCall) free() {
	s.message.Release()
	s.message = nil
	s.Payload.Release()
	s.Payload = nil
	s.Call.Release()
}

// start starts a batch, which has to be accepted.
func (s *serverCall) start(tag cq.Tag, ops ...surface.Op) {
	s.r.Helper()
	startBatch(s.r, s.Call, tag, ops)
}

// recvMessage is recv_message, into s.message.
func (s *serverCall) recvMessage() surface.Op {
	s.message.Release()
	s.message = nil
	return surface.Op{Type: surface.RecvMessage, RecvMessage: &s.message}
}

// recvClose is recv_close_on_server.
func (s *serverCall) recvClose() surface.Op {
	return surface.Op{Type: surface.RecvCloseOnServer, Cancelled: &s.cancelled, StatusResult: &s.end}
}

// sendStatus is send_status_from_server, with the trailers kv.
func sendStatus(code status.Code, text string, kv ...string) surface.Op {
	return surface.Op{Type: surface.SendStatusFromServer, Status: status.New(code, text), SendMetadata: pairs(kv...)}
}

// wantCancelled checks what recv_close_on_server has said.
func (s *serverCall) wantCancelled(want bool) {
	s.r.Helper()
	if s.cancelled != want {
		s.r.Errorf("cancelled = %t, want %t (%v)", s.cancelled, want, s.end.Err)
	}
}

// flagged is op with flags.
func flagged(op surface.Op, flags uint32) surface.Op {
	op.Flags = flags
	return op
}

// noise returns n bytes that differ from those of another seed.
func noise(n int, seed byte) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // a generator does not fail
	return string(b)
}

// message returns a buffer with text.
func message(text string) *transport.Buffer {
	b := transport.NewBuffer(len(text))
	b.Append([]byte(text))
	return b
}

// text returns what is in b, and "<nil>" for no message. b stays its owner's.
func text(b *transport.Buffer) string {
	if b == nil {
		return "<nil>"
	}
	return string(b.Bytes())
}

// wantText checks a received message.
func (r *rig) wantText(what string, b *transport.Buffer, want string) {
	r.Helper()
	if got := text(b); got != want {
		if len(got) > 64 || len(want) > 64 {
			r.Errorf("%s has %d bytes, want %d, or they differ", what, len(got), len(want))
			return
		}
		r.Errorf("%s = %q, want %q", what, got, want)
	}
}

// pairs returns a list of alternating keys and values.
func pairs(kv ...string) *metadata.List {
	l := new(metadata.List)
	for i := 0; i < len(kv); i += 2 {
		l.Append(kv[i], kv[i+1])
	}
	return l
}

// wantPairs checks that l has the pairs kv, in this order among those of the
// same key, and no others.
func (r *rig) wantPairs(what string, l *metadata.List, kv ...string) {
	r.Helper()
	have := map[string][]string{}
	for _, p := range l.Pairs() {
		have[p.Key] = append(have[p.Key], p.Value)
	}
	for i := 0; i < len(kv); i += 2 {
		key, value := kv[i], kv[i+1]
		if len(have[key]) == 0 || have[key][0] != value {
			r.Errorf("%s: key %q has %q, want %q next", what, key, have[key], value)
			continue
		}
		have[key] = have[key][1:]
	}
	if have := l.Len(); have != len(kv)/2 {
		r.Errorf("%s: %d pairs have come, want %d", what, have, len(kv)/2)
	}
}
