package http2

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// Every state that a stream can be in with every event that can meet it there,
// in both roles: frames of the peer, and operations of this side. RFC 9113 §5.1.
//
// The states are those of the RFC, and where gRPC tells more apart they are
// finer: whether headers were sent or received, and how a stream was closed.
// "Half-closed (local)" of a server is missing: a server that ends before its
// client resets the stream at once. So is "half-closed (remote)" of a client.
//
// A cell is the state after the event and what else it did, in the order in
// which it did it:
//
//	open                            the event is legal and changes no state
//	closed, RST_STREAM CANCEL       sent on the stream
//	ends OK, fails Canceled         the end that the call is told
//	headers, message, messages end  what the call is given
//	done, failed Canceled, waits    the end of the operation, or that it has none yet;
//	                                a message to a call that has ended is dropped and done
//	gone                            there is no such stream, and nobody minds
//	connection CODE                 the connection ends with that code
type matrixRow struct {
	state string
	setup string // lines of a script, after the SETTINGS of the peer
	never string // operations that the layers above do not start in this state
	cells string // "event: cell" in the order of the events
}

// The events, by name and as lines of a script. CALL is the call on the stream.
var peerEvents = [][2]string{
	{"WINDOW_UPDATE", "recv WINDOW_UPDATE stream=1 incr=5"},
	{"WINDOW_UPDATE of 0", "recv RAW hex=00000408000000000100000000"},
	{"WINDOW_UPDATE to overflow", "recv WINDOW_UPDATE stream=1 incr=0x7fffffff"},
	{"RST_STREAM", "recv RST_STREAM stream=1 code=8"},
	{"PRIORITY", "recv RAW hex=0000050200000000010000000310"},
	{"PRIORITY on itself", "recv RAW hex=0000050200000000010000000110"},
	{"PRIORITY of 4 bytes", "recv RAW hex=00000402000000000100000003"},
	{"CONTINUATION", "recv RAW hex=000000090400000001"},
	{"PUSH_PROMISE", "recv RAW hex=00000405040000000100000002"},
	{"unknown type", "recv RAW hex=0000027f0000000001abcd"},
}

var serverEvents = append([][2]string{
	{"HEADERS", "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m"},
	{"HEADERS END_STREAM", "recv HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/s/m"},
	{"trailers", "recv HEADERS stream=1 END_STREAM x-a=1"},
	{"malformed HEADERS", "recv HEADERS stream=1 END_STREAM :method=POST :scheme=http"},
	{"DATA", "recv DATA stream=1 message=3"},
	{"DATA END_STREAM", "recv DATA stream=1 message=3 END_STREAM"},
	{"empty DATA END_STREAM", "recv DATA stream=1 END_STREAM"},
}, append(peerEvents, [][2]string{
	{"send headers", "CALL respond"},
	{"send message", "CALL message len=3"},
	{"send trailers", "CALL finish status=0"},
	{"read", "CALL read"},
	{"cancel", "CALL cancel status=4 message=late"},
}...)...)

var clientEvents = append([][2]string{
	{"HEADERS", "recv HEADERS stream=1 :status=200"},
	{"Trailers-Only", "recv HEADERS stream=1 END_STREAM :status=200 grpc-status=0"},
	{"trailers", "recv HEADERS stream=1 END_STREAM grpc-status=0"},
	{"1xx", "recv HEADERS stream=1 :status=103"},
	{"malformed HEADERS", "recv HEADERS stream=1 X=1"},
	{"DATA", "recv DATA stream=1 message=3"},
	{"DATA END_STREAM", "recv DATA stream=1 message=3 END_STREAM"},
}, append(peerEvents, [][2]string{
	{"send headers", "CALL begin"},
	{"send message", "CALL message len=3"},
	{"half-close", "CALL close"},
	{"read", "CALL read"},
	{"cancel", "CALL cancel status=1 message=enough"},
}...)...)

func TestServerStreamMatrix(t *testing.T) { testMatrix(t, "server", "s1", serverEvents, serverMatrix) }
func TestClientStreamMatrix(t *testing.T) { testMatrix(t, "client", "a", clientEvents, clientMatrix) }

func testMatrix(t *testing.T, role, call string, events [][2]string, rows []matrixRow) {
	for _, row := range rows {
		var got strings.Builder
		for _, event := range events {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, role+"\nrecv SETTINGS\n"+row.setup)
				local := strings.HasPrefix(event[1], "CALL")
				if local && (s.calls[call] == nil || strings.Contains(row.never, event[0])) {
					return
				}
				out := s.step(strings.Replace(event[1], "CALL", call, 1))
				if local && event[0] != "cancel" && !operationEnded(out) {
					out += "the operation: waits\n"
				}
				fmt.Fprintf(&got, "%s: %s\n", event[0], s.cell(call, out))
			})
		}
		if want := strings.ReplaceAll(strings.TrimSpace(row.cells), "\t", "") + "\n"; got.String() != want {
			t.Errorf("%s, %s: got\n%s\nwant\n%s", role, row.state, got.String(), want)
		}
	}
}

// cell says what a line did to the stream.
func (s *script) cell(call, out string) string {
	if e := (*frame.Error)(nil); errors.As(s.broke, &e) {
		return "connection " + e.Code.String()
	}
	state := "gone"
	if c := s.calls[call]; c != nil {
		state = c.st.state.String()
		if c.st.queued == queueOpening {
			state = "waiting"
		}
	}
	parts := []string{state}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		switch {
		case words[0] == "send":
			part := words[1]
			if part == "RST_STREAM" || words[len(words)-1] == "END_STREAM" {
				part += " " + words[len(words)-1]
			}
			parts = append(parts, part)
		case words[1] == "accepted" || words[1] == "headers" && words[2] != "failed:":
			parts = append(parts, words[1])
		case words[1] == "trailers" && words[2] == "failed:":
			parts = append(parts, "fails "+codeIn(line))
		case words[1] == "trailers":
			parts = append(parts, "ends OK")
		case words[1] == "message" && strings.HasPrefix(words[2], "len="):
			parts = append(parts, "message")
		case words[1] == "message" && words[2] == "end":
			parts = append(parts, "messages end")
		case words[1] != "headers" && words[2] == "failed:":
			parts = append(parts, "failed "+codeIn(line))
		case words[2] == "done" || words[2] == "waits":
			parts = append(parts, words[2])
		}
	}
	return strings.Join(parts, ", ")
}

// operationEnded reports whether a line of out is about the end of an operation.
func operationEnded(out string) bool {
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if words[0] != "send" && words[1] != "headers" && words[1] != "trailers" {
			return true
		}
	}
	return false
}

// codeIn returns the status code that a line of a script names.
func codeIn(line string) string {
	_, after, _ := strings.Cut(line, "failed: ")
	after = strings.TrimPrefix(after, "rpc error: code = ")
	return after[:strings.IndexAny(after, ":, ")]
}

var serverMatrix = []matrixRow{
	{
		state: "idle",
		cells: `
			HEADERS: open, accepted, headers
			HEADERS END_STREAM: half-closed (remote), accepted, headers
			trailers: gone, RST_STREAM PROTOCOL_ERROR
			malformed HEADERS: gone, RST_STREAM PROTOCOL_ERROR
			DATA: connection PROTOCOL_ERROR
			DATA END_STREAM: connection PROTOCOL_ERROR
			empty DATA END_STREAM: connection PROTOCOL_ERROR
			WINDOW_UPDATE: connection PROTOCOL_ERROR
			WINDOW_UPDATE of 0: connection PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: connection PROTOCOL_ERROR
			RST_STREAM: connection PROTOCOL_ERROR
			PRIORITY: gone
			PRIORITY on itself: connection PROTOCOL_ERROR
			PRIORITY of 4 bytes: connection PROTOCOL_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: gone`,
	},
	{
		state: "open",
		setup: "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			HEADERS END_STREAM: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			trailers: half-closed (remote)
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: open
			DATA END_STREAM: half-closed (remote)
			empty DATA END_STREAM: half-closed (remote)
			WINDOW_UPDATE: open
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: open
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: open
			send headers: open, done, HEADERS
			send message: open, waits
			send trailers: closed, done, ends OK, HEADERS END_STREAM
			read: open, waits
			cancel: closed, fails DeadlineExceeded, HEADERS END_STREAM, RST_STREAM NO_ERROR`,
	},
	{
		state: "open, answering",
		never: "send headers",
		setup: "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m\ns1 respond",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			HEADERS END_STREAM: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			trailers: half-closed (remote)
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: open
			DATA END_STREAM: half-closed (remote)
			empty DATA END_STREAM: half-closed (remote)
			WINDOW_UPDATE: open
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: open
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: open
			send message: open, done, DATA
			send trailers: closed, done, ends OK, HEADERS END_STREAM, RST_STREAM NO_ERROR
			read: open, waits
			cancel: closed, fails DeadlineExceeded, HEADERS END_STREAM, RST_STREAM NO_ERROR`,
	},
	{
		state: "half-closed (remote)",
		setup: "recv HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/s/m",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM STREAM_CLOSED
			HEADERS END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			trailers: closed, fails Internal, RST_STREAM STREAM_CLOSED
			malformed HEADERS: closed, fails Internal, RST_STREAM STREAM_CLOSED
			DATA: closed, fails Internal, RST_STREAM STREAM_CLOSED
			DATA END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			empty DATA END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			WINDOW_UPDATE: half-closed (remote)
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: half-closed (remote)
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: half-closed (remote)
			send headers: half-closed (remote), done, HEADERS
			send message: half-closed (remote), waits
			send trailers: closed, done, ends OK, HEADERS END_STREAM
			read: half-closed (remote), messages end
			cancel: closed, fails DeadlineExceeded, HEADERS END_STREAM`,
	},
	{
		state: "half-closed (remote), answering",
		never: "send headers",
		setup: "recv HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/s/m\ns1 respond",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM STREAM_CLOSED
			HEADERS END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			trailers: closed, fails Internal, RST_STREAM STREAM_CLOSED
			malformed HEADERS: closed, fails Internal, RST_STREAM STREAM_CLOSED
			DATA: closed, fails Internal, RST_STREAM STREAM_CLOSED
			DATA END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			empty DATA END_STREAM: closed, fails Internal, RST_STREAM STREAM_CLOSED
			WINDOW_UPDATE: half-closed (remote)
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: half-closed (remote)
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: half-closed (remote)
			send message: half-closed (remote), done, DATA
			send trailers: closed, done, ends OK, HEADERS END_STREAM
			read: half-closed (remote), messages end
			cancel: closed, fails DeadlineExceeded, HEADERS END_STREAM`,
	},
	{
		state: "closed by both",
		never: "send headers, send message, send trailers",
		setup: "recv HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/s/m\ns1 finish status=0 only",
		cells: `
			HEADERS: connection STREAM_CLOSED
			HEADERS END_STREAM: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: closed, RST_STREAM STREAM_CLOSED
			DATA END_STREAM: closed, RST_STREAM STREAM_CLOSED
			empty DATA END_STREAM: closed, RST_STREAM STREAM_CLOSED
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			read: closed, messages end
			cancel: closed`,
	},
	{
		state: "closed by this side, which has ended early",
		never: "send headers, send message, send trailers",
		setup: "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m\ns1 respond\ns1 finish status=0",
		cells: `
			HEADERS: closed
			HEADERS END_STREAM: closed
			trailers: closed
			malformed HEADERS: closed
			DATA: closed
			DATA END_STREAM: closed
			empty DATA END_STREAM: closed
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			read: closed, messages end
			cancel: closed`,
	},
	{
		state: "closed by this side, which has refused it",
		never: "send headers, send message, send trailers",
		setup: "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m\ns1 finish status=0 only",
		cells: `
			HEADERS: closed, RST_STREAM PROTOCOL_ERROR
			HEADERS END_STREAM: closed, RST_STREAM PROTOCOL_ERROR
			trailers: closed
			malformed HEADERS: closed, RST_STREAM PROTOCOL_ERROR
			DATA: closed
			DATA END_STREAM: closed
			empty DATA END_STREAM: closed
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			read: closed, messages end
			cancel: closed`,
	},
	{
		state: "closed by RST_STREAM of the peer",
		setup: "recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m\nrecv RST_STREAM stream=1 code=8",
		cells: `
			HEADERS: connection STREAM_CLOSED
			HEADERS END_STREAM: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: closed, RST_STREAM STREAM_CLOSED
			DATA END_STREAM: closed, RST_STREAM STREAM_CLOSED
			empty DATA END_STREAM: closed, RST_STREAM STREAM_CLOSED
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			send headers: closed, failed Canceled
			send message: closed, done
			send trailers: closed, failed Canceled
			read: closed, failed Canceled
			cancel: closed`,
	},
	{
		state: "never opened, but a later one was",
		setup: "recv HEADERS stream=3 END_STREAM :method=POST :scheme=http :path=/s/m",
		cells: `
			HEADERS: connection STREAM_CLOSED
			HEADERS END_STREAM: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: gone, RST_STREAM STREAM_CLOSED
			DATA END_STREAM: gone, RST_STREAM STREAM_CLOSED
			empty DATA END_STREAM: gone, RST_STREAM STREAM_CLOSED
			WINDOW_UPDATE: gone
			WINDOW_UPDATE of 0: gone, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: gone
			RST_STREAM: gone
			PRIORITY: gone
			PRIORITY on itself: gone, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: gone, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: gone`,
	},
	{
		state: "after the last that our GOAWAY names",
		setup: "goaway\nrecv PING ACK data=1\nrecv HEADERS stream=1 :method=POST :scheme=http :path=/s/m",
		cells: `
			HEADERS: gone
			HEADERS END_STREAM: gone
			trailers: gone
			malformed HEADERS: gone
			DATA: gone
			DATA END_STREAM: gone
			empty DATA END_STREAM: gone
			WINDOW_UPDATE: gone
			WINDOW_UPDATE of 0: gone, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: gone
			RST_STREAM: gone
			PRIORITY: gone
			PRIORITY on itself: gone, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: gone, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: gone`,
	},
}

var clientMatrix = []matrixRow{
	{
		state: "idle",
		cells: `
			HEADERS: connection PROTOCOL_ERROR
			Trailers-Only: connection PROTOCOL_ERROR
			trailers: connection PROTOCOL_ERROR
			1xx: connection PROTOCOL_ERROR
			malformed HEADERS: connection PROTOCOL_ERROR
			DATA: connection PROTOCOL_ERROR
			DATA END_STREAM: connection PROTOCOL_ERROR
			WINDOW_UPDATE: connection PROTOCOL_ERROR
			WINDOW_UPDATE of 0: connection PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: connection PROTOCOL_ERROR
			RST_STREAM: connection PROTOCOL_ERROR
			PRIORITY: gone
			PRIORITY on itself: connection PROTOCOL_ERROR
			PRIORITY of 4 bytes: connection PROTOCOL_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: gone`,
	},
	{
		state: "idle, with a call that has not begun",
		setup: "a listen",
		cells: `
			HEADERS: connection PROTOCOL_ERROR
			Trailers-Only: connection PROTOCOL_ERROR
			trailers: connection PROTOCOL_ERROR
			1xx: connection PROTOCOL_ERROR
			malformed HEADERS: connection PROTOCOL_ERROR
			DATA: connection PROTOCOL_ERROR
			DATA END_STREAM: connection PROTOCOL_ERROR
			WINDOW_UPDATE: connection PROTOCOL_ERROR
			WINDOW_UPDATE of 0: connection PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: connection PROTOCOL_ERROR
			RST_STREAM: connection PROTOCOL_ERROR
			PRIORITY: idle
			PRIORITY on itself: connection PROTOCOL_ERROR
			PRIORITY of 4 bytes: connection PROTOCOL_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: idle
			send headers: open, done, HEADERS
			send message: idle, waits
			half-close: idle, waits
			read: idle, waits
			cancel: closed, fails Canceled`,
	},
	{
		state: "idle, waiting for its turn",
		never: "send headers",
		setup: "recv SETTINGS max_streams=0\na start",
		cells: `
			HEADERS: connection PROTOCOL_ERROR
			Trailers-Only: connection PROTOCOL_ERROR
			trailers: connection PROTOCOL_ERROR
			1xx: connection PROTOCOL_ERROR
			malformed HEADERS: connection PROTOCOL_ERROR
			DATA: connection PROTOCOL_ERROR
			DATA END_STREAM: connection PROTOCOL_ERROR
			WINDOW_UPDATE: connection PROTOCOL_ERROR
			WINDOW_UPDATE of 0: connection PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: connection PROTOCOL_ERROR
			RST_STREAM: connection PROTOCOL_ERROR
			PRIORITY: waiting
			PRIORITY on itself: connection PROTOCOL_ERROR
			PRIORITY of 4 bytes: connection PROTOCOL_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: waiting
			send message: waiting, waits
			half-close: waiting, waits
			read: waiting, waits
			cancel: closed, failed Canceled, fails Canceled`,
	},
	{
		state: "open",
		never: "send headers",
		setup: "a start",
		cells: `
			HEADERS: open, headers
			Trailers-Only: closed, headers, ends OK, RST_STREAM NO_ERROR
			trailers: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			1xx: open
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA END_STREAM: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE: open
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: open
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: open
			send message: open, done, DATA
			half-close: half-closed (local), done, DATA END_STREAM
			read: open, waits
			cancel: closed, fails Canceled, RST_STREAM CANCEL`,
	},
	{
		state: "open, being answered",
		never: "send headers",
		setup: "a start\nrecv HEADERS stream=1 :status=200",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			Trailers-Only: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			trailers: closed, ends OK, RST_STREAM NO_ERROR
			1xx: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: open
			DATA END_STREAM: closed, fails Internal, RST_STREAM NO_ERROR
			WINDOW_UPDATE: open
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: open
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: open
			send message: open, done, DATA
			half-close: half-closed (local), done, DATA END_STREAM
			read: open, waits
			cancel: closed, fails Canceled, RST_STREAM CANCEL`,
	},
	{
		state: "half-closed (local)",
		never: "send headers, send message, half-close",
		setup: "a start\na close",
		cells: `
			HEADERS: half-closed (local), headers
			Trailers-Only: closed, headers, ends OK
			trailers: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			1xx: half-closed (local)
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA END_STREAM: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE: half-closed (local)
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: half-closed (local)
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: half-closed (local)
			read: half-closed (local), waits
			cancel: closed, fails Canceled, RST_STREAM CANCEL`,
	},
	{
		state: "half-closed (local), being answered",
		never: "send headers, send message, half-close",
		setup: "a start\na close\nrecv HEADERS stream=1 :status=200",
		cells: `
			HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			Trailers-Only: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			trailers: closed, ends OK
			1xx: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			malformed HEADERS: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			DATA: half-closed (local)
			DATA END_STREAM: closed, fails Internal
			WINDOW_UPDATE: half-closed (local)
			WINDOW_UPDATE of 0: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed, fails Internal, RST_STREAM FLOW_CONTROL_ERROR
			RST_STREAM: closed, fails Canceled
			PRIORITY: half-closed (local)
			PRIORITY on itself: closed, fails Internal, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, fails Internal, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: half-closed (local)
			read: half-closed (local), waits
			cancel: closed, fails Canceled, RST_STREAM CANCEL`,
	},
	{
		state: "closed by trailers",
		never: "send headers, send message, half-close",
		setup: "a start\na close\nrecv HEADERS stream=1 END_STREAM :status=200 grpc-status=0",
		cells: `
			HEADERS: connection STREAM_CLOSED
			Trailers-Only: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			1xx: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: connection STREAM_CLOSED
			DATA END_STREAM: connection STREAM_CLOSED
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			read: closed, messages end
			cancel: closed`,
	},
	{
		state: "closed by trailers that came early",
		never: "send headers",
		setup: "a start\nrecv HEADERS stream=1 END_STREAM :status=200 grpc-status=0",
		cells: `
			HEADERS: connection STREAM_CLOSED
			Trailers-Only: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			1xx: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: connection STREAM_CLOSED
			DATA END_STREAM: connection STREAM_CLOSED
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			send message: closed, done
			half-close: closed, done
			read: closed, messages end
			cancel: closed`,
	},
	{
		state: "closed by a cancel of this side",
		never: "send headers",
		setup: "a start\na cancel status=1 message=enough",
		cells: `
			HEADERS: closed
			Trailers-Only: closed
			trailers: closed
			1xx: closed
			malformed HEADERS: closed
			DATA: closed
			DATA END_STREAM: closed
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			send message: closed, failed Canceled
			half-close: closed, failed Canceled
			read: closed, failed Canceled
			cancel: closed`,
	},
	{
		state: "closed by RST_STREAM of the peer",
		never: "send headers",
		setup: "a start\nrecv RST_STREAM stream=1 code=8",
		cells: `
			HEADERS: connection STREAM_CLOSED
			Trailers-Only: connection STREAM_CLOSED
			trailers: connection STREAM_CLOSED
			1xx: connection STREAM_CLOSED
			malformed HEADERS: connection STREAM_CLOSED
			DATA: connection STREAM_CLOSED
			DATA END_STREAM: connection STREAM_CLOSED
			WINDOW_UPDATE: closed
			WINDOW_UPDATE of 0: closed, RST_STREAM PROTOCOL_ERROR
			WINDOW_UPDATE to overflow: closed
			RST_STREAM: closed
			PRIORITY: closed
			PRIORITY on itself: closed, RST_STREAM PROTOCOL_ERROR
			PRIORITY of 4 bytes: closed, RST_STREAM FRAME_SIZE_ERROR
			CONTINUATION: connection PROTOCOL_ERROR
			PUSH_PROMISE: connection PROTOCOL_ERROR
			unknown type: closed
			send message: closed, done
			half-close: closed, failed Canceled
			read: closed, failed Canceled
			cancel: closed`,
	},
}
