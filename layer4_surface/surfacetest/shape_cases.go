package surfacetest

import (
	"fmt"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A shape is how a library of some language divides a call into batches. One
// word is an operation, one text a batch, by the first letters of the names:
//
//	SIM send_initial_metadata    RIM  recv_initial_metadata
//	SM  send_message             RM   recv_message
//	SCFC send_close_from_client  RSOC recv_status_on_client
//	SSFS send_status_from_server RCOS recv_close_on_server
//
// SM+ is a message with a buffer hint.
type shape struct {
	name           string
	client, server []string

	// blocking says that the client waits for each batch before the next, as
	// libraries do that have a queue for each call. The others go on as long as
	// what they want to do is not under way already.
	blocking bool
}

// The ways in which servers answer.
var (
	answerUnary  = []string{"RCOS", "RM", "SIM SM SSFS"}
	readStream   = []string{"RCOS", "RM", "RM", "RM", "RM", "SIM SM SSFS"}
	answerStream = []string{"RCOS", "RM", "SIM SM", "SM", "SM", "SSFS"}
	echoStream   = []string{"RCOS", "RM", "SIM SM", "RM", "SM", "RM", "SM", "RM", "SSFS"}
)

// shapes are the canonical divisions: those of Python's library, old and
// present, Ruby's and Rust's.
var shapes = []shape{
	{name: "UnaryInOneBatch", client: []string{"SIM SM SCFC RIM RM RSOC"}, server: answerUnary},

	{name: "PythonBetaUnary", client: []string{"SIM", "RIM", "RSOC", "SM", "RM", "SCFC"}, server: []string{"RCOS", "RM", "SIM", "SM", "SSFS"}},
	{name: "PythonBetaStream", client: []string{"SIM", "RIM", "RSOC", "SM", "RM", "SM", "RM", "SM", "SCFC", "RM", "RM"}, server: echoStream},
	{name: "PythonUnaryUnary", client: []string{"SIM SM SCFC RIM RM RSOC"}, server: []string{"RCOS", "RM", "SSFS SIM SM"}},
	{name: "PythonUnaryStream", client: []string{"SIM SM SCFC RSOC", "RIM", "RM", "RM", "RM", "RM"}, server: answerStream},
	{name: "PythonUnaryStreamSingleThreaded", client: []string{"SIM SM SCFC", "RSOC", "RIM", "RM", "RM", "RM", "RM"}, server: answerStream},
	{name: "PythonStreamUnary", client: []string{"SIM RM RSOC", "RIM", "SM", "SM", "SM", "SCFC"}, server: readStream},
	{name: "PythonStreamStream", client: []string{"SIM RSOC", "RIM", "SM", "RM", "SM", "RM", "SM", "RM", "SCFC", "RM"}, server: echoStream},

	{name: "RubyRequestResponse", blocking: true, client: []string{"SIM SM SCFC RIM RM RSOC"}, server: []string{"RM", "SM SSFS RCOS SIM"}},
	{name: "RubyClientStreamer", blocking: true, client: []string{"SIM", "SM", "SM", "SM", "SCFC RIM RM RSOC"},
		server: []string{"RM", "RM", "RM", "RM", "SIM SM SSFS RCOS"}},
	{name: "RubyServerStreamer", blocking: true, client: []string{"SIM SM SCFC", "RIM RM", "RM", "RM", "RM", "RSOC"},
		server: []string{"RM", "SIM", "SM", "SM", "SM", "SSFS RCOS"}},
	{name: "RubyBidiStreamer", client: []string{"SIM", "SM", "RIM RM", "SM", "RM", "SM", "RM", "SCFC", "RM", "RSOC"},
		server: []string{"RM", "SIM SM", "RM", "SM", "RM", "SM", "RM", "SSFS RCOS"}},

	{name: "RustUnary", client: []string{"SIM SM SCFC RIM RM RSOC"}, server: []string{"RM", "RCOS", "SSFS SM SIM"}},
	{name: "RustClientStreaming", client: []string{"SIM RIM RM RSOC", "SM", "SM+", "SM+", "SCFC"},
		server: []string{"RCOS", "RM", "RM", "RM", "RM", "SSFS SM SIM"}},
	{name: "RustServerStreaming", client: []string{"SIM SM SCFC RSOC", "RIM", "RM", "RM", "RM", "RM"},
		server: []string{"RCOS", "RM", "SM SIM", "SM+", "SM+", "SSFS"}},
	{name: "RustDuplexStreaming", client: []string{"SIM RSOC", "RIM", "RM", "SM+", "SM+", "SM", "SCFC", "RM", "RM", "RM"},
		server: []string{"RCOS", "RM", "SM SIM", "RM", "SM+", "RM", "SM+", "RM", "SSFS"}},

	{name: "MessageBeforeHeaders", client: []string{"SM", "RSOC", "RM", "SIM", "SCFC", "RIM"}, server: []string{"SIM", "RM", "SM", "SSFS", "RCOS"}},
	{name: "StatusAskedForLast", client: []string{"SIM SM SCFC", "RIM", "RM", "RSOC"}, blocking: true, server: []string{"RM", "SIM SM", "SSFS", "RCOS"}},
}

// shapeCases are calls in the shapes that libraries give them.
func shapeCases() []testCase {
	var cases []testCase
	for _, s := range shapes {
		cases = append(cases, testCase{file: "ours/shapes", name: s.name, test: s.run})
	}
	return cases
}

// A side is one end of a call of a shape.
type side struct {
	tags    cq.Tag   // prefix of the tags of its batches
	batches []string // that are to be started
	running []string // and those under way
	start   func(tag cq.Tag, ops ...surface.Op)
	op      func(word string) surface.Op
	block   bool

	sent     int
	received []string // messages; the last may be "<nil>"
	message  **transport.Buffer
}

// run makes a call in that shape. Everything succeeds, messages come in the
// order in which they were sent, and then the status.
func (s shape) run(r *rig) {
	c := r.call()
	client := &side{tags: "client", batches: s.client, start: c.start, message: &c.message, block: s.blocking}
	client.op = func(word string) surface.Op {
		switch word {
		case "SCFC":
			return sendClose()
		case "RIM":
			return c.recvHeaders()
		case "RM":
			return c.recvMessage()
		default:
			return c.recvStatus()
		}
	}
	req := r.request("request")
	server := &side{tags: "server", message: &req.message}
	server.op = func(word string) surface.Op {
		switch word {
		case "RM":
			return req.recvMessage()
		case "SSFS":
			return sendStatus(status.OK, "xyz")
		default:
			return req.recvClose()
		}
	}
	for {
		client.advance()
		server.advance()
		if len(client.running)+len(client.batches)+len(server.running)+len(server.batches) == 0 && server.start != nil {
			break
		}
		ev := r.next()
		if !ev.Success {
			r.Fatalf("the batch %v has failed", ev.Tag)
		}
		switch tag := fmt.Sprint(ev.Tag); {
		case tag == "request":
			server.start, server.batches = req.start, s.server
		case strings.HasPrefix(tag, "client"):
			client.done(tag)
		default:
			server.done(tag)
		}
	}
	client.wantFrom(r, server)
	server.wantFrom(r, client)
	c.wantStatus(status.OK, "xyz")
	req.wantCancelled(false)
}

// advance starts the batches that may be.
func (s *side) advance() {
	for len(s.batches) > 0 && s.may(s.batches[0]) {
		batch := s.batches[0]
		s.batches = s.batches[1:]
		s.running = append(s.running, batch)
		var ops []surface.Op
		for word := range strings.FieldsSeq(batch) {
			switch word {
			case "SIM":
				ops = append(ops, sendHeaders())
			case "SM", "SM+":
				op := sendMessage(fmt.Sprint(s.tags, " ", s.sent))
				if word == "SM+" {
					op.Flags = transport.FlagBufferHint
				}
				s.sent++
				ops = append(ops, op)
			default:
				ops = append(ops, s.op(word))
			}
		}
		s.start(fmt.Sprint(s.tags, ": ", batch), ops...)
	}
}

// may reports whether nothing stands against starting batch: another message is
// not under way, and a server sends the status when it has read.
func (s *side) may(batch string) bool {
	for _, other := range s.running {
		if s.block || batch == other {
			return false
		}
		for word := range strings.FieldsSeq(other) {
			word = strings.TrimSuffix(word, "+")
			sends, waits := word == "SM" && strings.Contains(batch, "SM"), word == "RM" && s.tags == "server" && batch != "RCOS"
			if sends || waits || word == "RM" && strings.Contains(batch, "RM") {
				return false
			}
		}
	}
	return true
}

// done takes a batch that has completed.
func (s *side) done(tag string) {
	_, batch, _ := strings.Cut(tag, ": ")
	for i, running := range s.running {
		if running == batch {
			s.running = append(s.running[:i], s.running[i+1:]...)
			break
		}
	}
	if strings.Contains(" "+batch+" ", " RM ") {
		s.received = append(s.received, text(*s.message))
	}
}

// wantFrom checks that s has received what other has sent.
func (s *side) wantFrom(r *rig, other *side) {
	r.Helper()
	for i, got := range s.received {
		want := fmt.Sprint(other.tags, " ", i)
		if i >= other.sent {
			want = "<nil>"
		}
		if got != want {
			r.Errorf("message %d that the %s got is %q, want %q", i, s.tags, got, want)
		}
	}
	if len(s.received) < other.sent {
		r.Errorf("the %s got %d messages, want %d", s.tags, len(s.received), other.sent)
	}
}
