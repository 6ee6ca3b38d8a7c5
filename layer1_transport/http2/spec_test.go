package http2

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// The rules of RFC 9113 that a session keeps, by section, and those of the
// gRPC-HTTP2 document. What stands here is a MUST in one line each; the
// transcripts in testdata/wire tell whole conversations, stream_matrix_test.go
// has §5.1, package frame the layout of frames, package headerblock §8.2 and §8.3.

// A specRow plays lines and looks at what the last of them did.
type specRow struct {
	name  string // what the rule says
	lines string
	want  string // part of the output, or "connection CODE"
}

const (
	aServer  = "server\nrecv SETTINGS\n"
	aClient  = "client\nrecv SETTINGS\n"
	aRequest = ":method=POST :scheme=http :path=/s/m"
	anOpen   = aServer + "recv HEADERS stream=1 " + aRequest + "\n"
	aCall    = aClient + "a start\n"
)

func playSpec(t *testing.T, rows []specRow) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines := strings.Split(strings.TrimSpace(row.lines), "\n")
				last := len(lines) - 1
				s := &script{t: t, calls: map[string]*scriptCall{}}
				for _, line := range lines[:last] {
					s.step(line)
				}
				if s.broke != nil {
					t.Fatalf("the connection ended before the last line: %v", s.broke)
				}
				out := s.step(lines[last])
				if e := (*frame.Error)(nil); errors.As(s.broke, &e) {
					out = "connection " + e.Code.String()
				}
				if strings.TrimSpace(out) != row.want && (row.want == "" || !strings.Contains(out, row.want)) {
					t.Errorf("%.200q gave\n%.500s\nwant %q", lines[last], out, row.want)
				}
			})
		})
	}
}

func TestRFC9113_3_4_Preface(t *testing.T) {
	playSpec(t, []specRow{
		{"a client begins with SETTINGS", "client greet", "send SETTINGS SETTINGS_INITIAL_WINDOW_SIZE"},
		{"a server begins with SETTINGS", "server greet", "send SETTINGS SETTINGS_INITIAL_WINDOW_SIZE"},
		{"the first frame of the peer is SETTINGS", "server\nrecv WINDOW_UPDATE incr=1", "connection PROTOCOL_ERROR"},
		{"the receipt of ours does not stand for it", "server greet\nrecv SETTINGS ACK\nrecv PING data=1", "connection PROTOCOL_ERROR"},
		{"SETTINGS may be empty", "server\nrecv SETTINGS", "send SETTINGS ACK"},
	})
}

func TestRFC9113_4_3_HeaderBlocks(t *testing.T) {
	playSpec(t, []specRow{
		{"nothing comes between the frames of a block", aServer + "recv RAW hex=000000010000000001\nrecv PING data=1", "connection PROTOCOL_ERROR"},
		{"not the block of another stream either", aServer + "recv RAW hex=000000010000000001\nrecv RAW hex=000000090400000003", "connection PROTOCOL_ERROR"},
		{"not an unknown frame either, RFC 9113 §5.5", aServer + "recv RAW hex=000000010000000001\nrecv RAW hex=0000007f0000000001", "connection PROTOCOL_ERROR"},
		{"a block that does not decode ends the connection", aServer + "recv RAW hex=000001010400000001ff", "connection COMPRESSION_ERROR"},
		{"also where its stream is closed", anOpen + "recv RST_STREAM stream=1 code=8\nrecv RAW hex=000001010400000001ff", "connection COMPRESSION_ERROR"},
		{"also where a client has no such stream any more", aCall + "recv RST_STREAM stream=1 code=8\nrecv RAW hex=000001010400000001ff", "connection COMPRESSION_ERROR"},
		{"a refused block is decoded, for what it adds to the table", "server max_streams=1\nrecv SETTINGS\nrecv HEADERS stream=1 " + aRequest +
			"\nrecv HEADERS stream=3 " + aRequest + " x-new=value\ns1 finish status=0\nrecv DATA stream=1 END_STREAM\nrecv HEADERS stream=5 " + aRequest + " x-new=value", "s5: accepted"},
	})
}

func TestRFC9113_5_1_1_StreamIdentifiers(t *testing.T) {
	playSpec(t, []specRow{
		{"a client opens odd streams", aServer + "recv HEADERS stream=2 " + aRequest, "connection PROTOCOL_ERROR"},
		{"a server opens none", aCall + "recv HEADERS stream=2 :status=200", "connection PROTOCOL_ERROR"},
		{"nor does it answer one that is not open", aCall + "recv HEADERS stream=3 :status=200", "connection PROTOCOL_ERROR"},
		{"gaps are allowed", aServer + "recv HEADERS stream=9 " + aRequest, "s9: accepted"},
		{"a stream below the last is closed", aServer + "recv HEADERS stream=9 END_STREAM " + aRequest + "\nrecv HEADERS stream=7 " + aRequest, "connection "},
		{"the last one is a stream", aServer + "recv HEADERS stream=2147483647 " + aRequest, "s2147483647: accepted"},
	})
}

func TestRFC9113_5_1_2_Concurrency(t *testing.T) {
	limited := "server max_streams=1\nrecv SETTINGS\nrecv HEADERS stream=1 " + aRequest + "\n"
	playSpec(t, []specRow{
		{"our limit holds before it was acknowledged", limited + "recv HEADERS stream=3 " + aRequest, "send RST_STREAM stream=3 REFUSED_STREAM"},
		{"what is half-closed counts", "server max_streams=1\nrecv SETTINGS\nrecv HEADERS stream=1 END_STREAM " + aRequest + "\nrecv HEADERS stream=3 " + aRequest, "send RST_STREAM stream=3 REFUSED_STREAM"},
		{"what we have refused and the client has not ended counts", limited + "s1 finish status=0 only\nrecv HEADERS stream=3 " + aRequest, "send RST_STREAM stream=3 REFUSED_STREAM"},
		{"what has ended does not", limited + "s1 finish status=0 only\nrecv DATA stream=1 END_STREAM\nrecv HEADERS stream=3 " + aRequest, "s3: accepted"},
		{"the peer's limit keeps calls waiting", "client\nrecv SETTINGS max_streams=1\na start\nb start", ""},
		{"until one ends", "client\nrecv SETTINGS max_streams=1\na start\nb start\nrecv RST_STREAM stream=1 code=8", "b: start done"},
		{"or the limit rises", "client\nrecv SETTINGS max_streams=1\na start\nb start\nrecv SETTINGS max_streams=2", "b: start done"},
		{"before SETTINGS a hundred are assumed", "client\n" + strings.Repeat("x start\n", 100) + "last start", ""},
		{"afterwards none, if there is none", aClient + strings.Repeat("x start\n", 101) + "last start", "last: start done"},
		{"a lower limit ends nothing", "client\nrecv SETTINGS max_streams=2\na start\nb start\nrecv SETTINGS max_streams=1", "send SETTINGS ACK"},
	})
}

func TestRFC9113_6_5_3_Synchronization(t *testing.T) {
	playSpec(t, []specRow{
		{"each SETTINGS has its receipt", aServer + "recv SETTINGS max_streams=1", "send SETTINGS ACK"},
		{"a receipt has none", "server greet\nrecv SETTINGS\nrecv SETTINGS ACK", ""},
		{"one for nothing leaves in doubt what the peer has", "server greet\nrecv SETTINGS\nrecv SETTINGS ACK\nrecv SETTINGS ACK", "connection PROTOCOL_ERROR"},
		{"without one the connection ends", "server greet\nrecv SETTINGS\nadvance 1m", "connection SETTINGS_TIMEOUT"},
		{"values are applied before the receipt: what they allow follows it", aCall + "recv SETTINGS initial_window=0\na message len=10\nrecv SETTINGS initial_window=65535", "send SETTINGS ACK\nsend DATA"},
	})
}

func TestRFC9113_6_7_Ping(t *testing.T) {
	playSpec(t, []specRow{
		{"a PING is answered with its data", aServer + "recv PING data=9", "send PING data=9 ack=true"},
		{"an answer is not", aServer + "recv PING ACK data=9", ""},
		{"PING belongs to the connection", aServer + "recv RAW hex=0000080600000000010000000000000000", "connection PROTOCOL_ERROR"},
	})
}

func TestRFC9113_6_8_GoAway(t *testing.T) {
	playSpec(t, []specRow{
		{"after it a client opens no streams", aClient + "recv GOAWAY last=0 code=0\na start", "a: start failed: Unavailable, not sent:"},
		{"streams above the named one may be tried again", aCall + "recv GOAWAY last=0 code=0", "a: trailers failed: Unavailable, not seen:"},
		{"the others go on", aCall + "recv GOAWAY last=1 code=0\nrecv HEADERS stream=1 END_STREAM :status=200 grpc-status=0", "a: trailers status=0"},
		{"a server's first names all there can be", anOpen + "goaway", "send GOAWAY last=2147483647"},
		{"and its second those that it has seen", anOpen + "goaway\nrecv PING ACK data=1", "send GOAWAY last=1 "},
		{"which a stream may still join before that", anOpen + "goaway\nrecv HEADERS stream=3 " + aRequest, "s3: accepted"},
		{"GOAWAY belongs to the connection", aServer + "recv RAW hex=0000080700000000010000000000000000", "connection PROTOCOL_ERROR"},
	})
}

func TestRFC9113_6_9_1_Windows(t *testing.T) {
	playSpec(t, []specRow{
		{"an increment of 0 ends the stream", anOpen + "recv RAW hex=00000408000000000100000000", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"on the connection it ends that", aServer + "recv RAW hex=00000408000000000000000000", "connection PROTOCOL_ERROR"},
		{"an overflow ends the stream", anOpen + "recv WINDOW_UPDATE stream=1 incr=2147483647", "send RST_STREAM stream=1 FLOW_CONTROL_ERROR"},
		{"on the connection it ends that", aServer + "recv WINDOW_UPDATE incr=2147483647", "connection FLOW_CONTROL_ERROR"},
		{"to the largest window is no overflow", aServer + "recv WINDOW_UPDATE incr=2147418112", ""},
		{"a peer that sends beyond our window of a stream loses it", "server stream_window=65535\nrecv SETTINGS\nrecv HEADERS stream=1 " + aRequest + strings.Repeat("\nrecv DATA stream=1 len=16384", 4),
			"send RST_STREAM stream=1 FLOW_CONTROL_ERROR"},
		{"an empty DATA frame needs no window", "client\nrecv SETTINGS initial_window=0\na start\na close", "send DATA stream=1 len=0 END_STREAM"},
	})
}

func TestRFC9113_6_9_2_InitialWindow(t *testing.T) {
	blocked := "client\nrecv SETTINGS initial_window=20\na start\na message len=100\n"
	playSpec(t, []specRow{
		{"a larger one widens open streams", blocked + "recv SETTINGS initial_window=30", "send DATA stream=1 len=10"},
		{"a smaller one makes them negative", blocked + "recv SETTINGS initial_window=0\nrecv WINDOW_UPDATE stream=1 incr=20", ""},
		{"until credit has brought them above 0", blocked + "recv SETTINGS initial_window=0\nrecv WINDOW_UPDATE stream=1 incr=21", "send DATA stream=1 len=1"},
		{"the window of the connection stays", "client\nrecv SETTINGS initial_window=1000000\na start\na message len=100000\nrecv SETTINGS initial_window=2000000", "send SETTINGS ACK"},
		{"an overflow by it ends the connection", aCall + "recv WINDOW_UPDATE stream=1 incr=10\nrecv SETTINGS initial_window=2147483647", "connection FLOW_CONTROL_ERROR"},
	})
}

func TestRFC9113_8_1_1_ContentLength(t *testing.T) {
	playSpec(t, []specRow{
		{"DATA as long as content-length", aServer + "recv HEADERS stream=1 content-length=8 " + aRequest + "\nrecv DATA stream=1 message=3 END_STREAM", ""},
		{"shorter", aServer + "recv HEADERS stream=1 content-length=9 " + aRequest + "\nrecv DATA stream=1 message=3 END_STREAM", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"longer, seen before the end", aServer + "recv HEADERS stream=1 content-length=7 " + aRequest + "\nrecv DATA stream=1 message=3", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"padding does not count", aServer + "recv HEADERS stream=1 content-length=8 " + aRequest + "\nrecv DATA stream=1 message=3 pad=9 END_STREAM", ""},
		{"none at all", aServer + "recv HEADERS stream=1 END_STREAM content-length=1 " + aRequest, "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"trailers in place of the rest", aServer + "recv HEADERS stream=1 content-length=1 " + aRequest + "\nrecv HEADERS stream=1 END_STREAM x-a=1", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"of a response", aCall + "recv HEADERS stream=1 :status=200 content-length=9\nrecv DATA stream=1 message=3\nrecv HEADERS stream=1 END_STREAM grpc-status=0", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"of Trailers-Only", aCall + "recv HEADERS stream=1 END_STREAM :status=200 grpc-status=0 content-length=1", "send RST_STREAM stream=1 PROTOCOL_ERROR"},
	})
}

func TestRFC9113_8_7_RequestReliability(t *testing.T) {
	playSpec(t, []specRow{
		{"what was refused was not seen", aCall + "recv RST_STREAM stream=1 code=7", "a: trailers failed: Unavailable, not seen:"},
		{"what was reset otherwise may have been", aCall + "recv RST_STREAM stream=1 code=8", "a: trailers failed: Canceled: "},
		{"who has answered has seen it", aCall + "recv HEADERS stream=1 :status=200\nrecv RST_STREAM stream=1 code=7", "a: trailers failed: Unavailable: "},
	})
}

// TestGRPCHTTP2_Responses is gRPC-HTTP2 Responses, and where a response is none.
func TestGRPCHTTP2_Responses(t *testing.T) {
	answered := aCall + "a close\nrecv HEADERS stream=1 :status=200 content-type=application/grpc\n"
	playSpec(t, []specRow{
		{"headers, messages, trailers", answered + "recv DATA stream=1 message=1\na read\nrecv HEADERS stream=1 END_STREAM grpc-status=0", "a: trailers status=0"},
		{"Trailers-Only", aCall + "a close\nrecv HEADERS stream=1 END_STREAM :status=200 grpc-status=7 grpc-message=no", "a: headers trailers only"},
		{"trailers without grpc-status are UNKNOWN", answered + "recv HEADERS stream=1 END_STREAM x-a=1", "a: trailers failed: Unknown: "},
		{"so are empty ones", answered + "recv RAW hex=000000010500000001", "a: trailers failed: Unknown: "},
		{"the end in DATA is INTERNAL", answered + "recv DATA stream=1 message=1 END_STREAM", "a: trailers failed: Internal: "},
		{"a grpc-status that is no number is UNKNOWN", answered + "recv HEADERS stream=1 END_STREAM grpc-status=-1", `a: trailers status=2 message="malformed grpc-status"`},
		{"one that nobody has defined is passed on", answered + "recv HEADERS stream=1 END_STREAM grpc-status=99", "a: trailers status=99"},
		{"a status in headers is no end", answered[:len(answered)-1] + " grpc-status=5\nrecv HEADERS stream=1 END_STREAM grpc-status=0", "a: trailers status=0"},
		{"a bad escape in grpc-message stands for itself", answered + "recv HEADERS stream=1 END_STREAM grpc-status=2 grpc-message=%zz%41%", `a: trailers status=2 message="%zzA%"`},
		{"messages that nobody has read go before the end", answered + "recv DATA stream=1 message=1\nrecv HEADERS stream=1 END_STREAM grpc-status=0\na read", "a: message len=1\na: trailers status=0"},
		{"nothing follows the trailers", answered + "recv HEADERS stream=1 END_STREAM grpc-status=0\nrecv DATA stream=1 message=1", "connection STREAM_CLOSED"},
	})
}

// TestGRPCHTTP2_Errors is gRPC-HTTP2 Errors, the other way: what a cancelled
// call is told to the peer with.
func TestGRPCHTTP2_Errors(t *testing.T) {
	for _, tc := range []struct {
		status, code string
	}{
		{"1", "CANCEL"}, {"4", "CANCEL"}, {"8", "ENHANCE_YOUR_CALM"}, {"7", "INADEQUATE_SECURITY"},
		{"14", "REFUSED_STREAM"}, {"13", "INTERNAL_ERROR"}, {"2", "INTERNAL_ERROR"},
	} {
		playSpec(t, []specRow{{"a call cancelled with status " + tc.status, aCall + "a cancel message=m status=" + tc.status, "send RST_STREAM stream=1 " + tc.code}})
	}
}
