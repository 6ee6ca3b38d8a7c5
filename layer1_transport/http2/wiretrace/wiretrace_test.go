package wiretrace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

const canary = "CANARY-4711"

// line shows what an event says of a frame.
func line(e trace.Record) string {
	s := fmt.Sprintf("%s %s conn=%d stream=%d len=%d off=%d %s", e.Op, e.Dir, e.Conn, e.Stream, e.Size, e.Offset, e.Text)
	for _, f := range e.Fields {
		s += fmt.Sprintf(" %s=%q", f.Name, f.Value)
	}
	if e.Err != nil {
		s += " " + e.Err.Error()
	}
	return strings.TrimSpace(s)
}

// tracer returns a tracer of connection 7 and its recorder.
func tracer(level trace.Level) (*Tracer, *trace.Recorder) {
	r := trace.NewRecorder(level)
	return &Tracer{Sink: r.Endpoint("client", "server"), Conn: 7}, r
}

// frames are one of each type, with what an event says of them.
var frames = []struct {
	name  string
	frame []byte
	want  string
}{
	{"DATA", append(frame.AppendDataHeader(nil, 1, true, 3), "abc"...), "stream=1 len=3 DATA END_STREAM"},
	{"padded DATA", append(frame.AppendHeader(nil, 3, frame.TypeData, frame.FlagPadded, 1), 1, 'a', 0), "stream=1 len=3 DATA PADDED"},
	{"HEADERS", frame.AppendHeaders(nil, 3, true, []byte{0x82}, 0), "stream=3 len=1 HEADERS END_STREAM END_HEADERS"},
	{"HEADERS with all flags", append(frame.AppendHeader(nil, 7, frame.TypeHeaders, 0x2d, 3), make([]byte, 7)...), "stream=3 len=7 HEADERS END_STREAM END_HEADERS PADDED PRIORITY"},
	{"PRIORITY", append(frame.AppendHeader(nil, 5, frame.TypePriority, 0, 3), make([]byte, 5)...), "stream=3 len=5 PRIORITY"},
	{"RST_STREAM", frame.AppendRSTStream(nil, 3, frame.CodeCancel), "stream=3 len=4 RST_STREAM CANCEL"},
	{"SETTINGS", frame.AppendSettings(nil, frame.Setting{ID: frame.SettingMaxFrameSize, Val: 16384}, frame.Setting{ID: 9, Val: 1}), "stream=0 len=12 SETTINGS SETTINGS_MAX_FRAME_SIZE=16384 SETTINGS_0x9=1"},
	{"SETTINGS ACK", frame.AppendSettingsAck(nil), "stream=0 len=0 SETTINGS ACK"},
	{"malformed SETTINGS", append(frame.AppendHeader(nil, 1, frame.TypeSettings, 0, 0), 0), "stream=0 len=1 SETTINGS"},
	{"PUSH_PROMISE", append(frame.AppendHeader(nil, 4, frame.TypePushPromise, frame.FlagEndHeaders, 1), 0, 0, 0, 2), "stream=1 len=4 PUSH_PROMISE END_HEADERS"},
	{"PING", frame.AppendPing(nil, false, [8]byte{}), "stream=0 len=8 PING"},
	{"PING ACK", frame.AppendPing(nil, true, [8]byte{}), "stream=0 len=8 PING ACK"},
	{"GOAWAY", frame.AppendGoAway(nil, 5, frame.CodeEnhanceYourCalm, "too_many_pings"), `stream=0 len=22 GOAWAY last=5 ENHANCE_YOUR_CALM "too_many_pings"`},
	{"malformed GOAWAY", append(frame.AppendHeader(nil, 1, frame.TypeGoAway, 0, 0), 0), "stream=0 len=1 GOAWAY"},
	{"WINDOW_UPDATE", frame.AppendWindowUpdate(nil, 1, 77), "stream=1 len=4 WINDOW_UPDATE increment=77"},
	{"CONTINUATION", append(frame.AppendHeader(nil, 1, frame.TypeContinuation, frame.FlagEndHeaders, 1), 0x82), "stream=1 len=1 CONTINUATION END_HEADERS"},
	{"an unknown type", frame.AppendHeader(nil, 0, 0x77, 0xff, 1), "stream=1 len=0 FRAME_TYPE_0x77"},
}

// TestReceived: one event for each frame, at its offset.
func TestReceived(t *testing.T) {
	tr, r := tracer(trace.LevelEvents)
	tr.Skip(len(frame.ClientPreface))
	offset := len(frame.ClientPreface)
	for i, f := range frames {
		tr.Received(frame.ParseHeader(f.frame), f.frame[frame.HeaderLen:])
		e := r.Events()[i]
		before, after, _ := strings.Cut(f.want, " len=")
		length, text, _ := strings.Cut(after, " ")
		want := fmt.Sprintf("frame recv conn=7 %s len=%s off=%d %s", before, length, offset, text)
		if got := line(e); got != want || e.Layer != 1 || e.Component != "http2" {
			t.Errorf("%s:\ngot  %s\nwant %s", f.name, got, want)
		}
		if e.Bytes != nil {
			t.Errorf("%s: bytes at LevelEvents", f.name)
		}
		if tr.Last() != e.ID {
			t.Errorf("%s: Last is %d, want %d", f.name, tr.Last(), e.ID)
		}
		offset += len(f.frame)
	}
}

// TestBytes: at LevelBytes an event has its whole frame, in both directions.
func TestBytes(t *testing.T) {
	tr, r := tracer(trace.LevelBytes)
	for _, f := range frames {
		tr.Received(frame.ParseHeader(f.frame), f.frame[frame.HeaderLen:])
		tr.Sent(0, 0, f.frame, "")
	}
	for i, e := range r.Events() {
		if f := frames[i/2]; string(e.Bytes) != string(f.frame) {
			t.Errorf("%s %s: bytes %x, want %x", e.Dir, f.name, e.Bytes, f.frame)
		}
	}
}

func TestSent(t *testing.T) {
	tr, r := tracer(trace.LevelEvents)
	id := tr.Sent(0, 100, frame.AppendDataHeader(nil, 1, true, 5000), "")
	tr.Sent(id, 5109, frame.AppendRSTStream(nil, 1, frame.CodeCancel), "CANCEL")
	want := []string{
		"frame send conn=7 stream=1 len=5000 off=100 DATA END_STREAM",
		"frame send conn=7 stream=1 len=4 off=5109 RST_STREAM CANCEL",
	}
	for i, e := range r.Events() {
		if got := line(e); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
	if e := r.Events()[1]; e.Cause != id {
		t.Errorf("the cause is %d, want %d", e.Cause, id)
	}
}

// secrets is a list with the canary wherever the application can put it.
func secrets() *metadata.List {
	l := &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/s/m", Authority: "a", HTTPStatus: "200",
		ContentType: "application/grpc", UserAgent: "u", TE: "trailers", Encoding: "gzip", AcceptEncoding: "gzip"}}
	l.Deadline = time.Unix(1, 0)
	l.SetStatus(16, canary)
	l.Append("authorization", "Bearer "+canary)
	l.Append("x-bin", canary)
	return l
}

// TestSecrets: values of the application are shown from LevelValues on, and
// bytes at LevelBytes.
func TestSecrets(t *testing.T) {
	block := frame.AppendHeaders(nil, 1, false, []byte(canary), 0)
	for level := trace.LevelEvents; level <= trace.LevelBytes; level++ {
		tr, r := tracer(level)
		tr.SentHeaders(0, 0, block, len(canary), secrets())
		tr.Received(frame.ParseHeader(block), block[frame.HeaderLen:])
		tr.ReceivedHeaders(1, len(canary), secrets())
		all := ""
		for _, e := range r.Events() {
			all += line(e) + "\n"
			if hasBytes := e.Bytes != nil; hasBytes != (level == trace.LevelBytes && e.Op == trace.OpFrame) {
				t.Errorf("level %d: %s has bytes %q", level, e.Op, e.Bytes)
			}
		}
		if shown := strings.Contains(all, canary); shown != (level >= trace.LevelValues) {
			t.Errorf("level %d shows the values: %v\n%s", level, shown, all)
		}
		value := func(s string) string {
			if level == trace.LevelEvents {
				return ""
			}
			return s
		}
		want := fmt.Sprintf(`:status="200" :method="POST" :scheme="http" :path="/s/m" :authority="a" content-type="application/grpc" user-agent="u" te="trailers" grpc-encoding="gzip" grpc-accept-encoding="gzip" grpc-timeout="" grpc-status="16" grpc-message=%q authorization=%q x-bin=%q`,
			value(canary), value("Bearer "+canary), value(canary))
		for _, i := range []int{0, 3} { // the two of HPACK
			if got := line(r.Events()[i]); !strings.HasSuffix(got, want) {
				t.Errorf("level %d:\ngot  %s\nwant %s", level, got, want)
			}
		}
	}
}

// TestReceivedHeaders: what a block says is caused by its frame, and causes
// what follows.
func TestReceivedHeaders(t *testing.T) {
	tr, r := tracer(trace.LevelEvents)
	block := frame.AppendHeaders(nil, 1, true, []byte{0x82}, 0)
	tr.Received(frame.ParseHeader(block), block[frame.HeaderLen:])
	if got := tr.Cause(0); got != 1 {
		t.Errorf("while a frame is applied the cause is %d", got)
	}
	tr.ReceivedHeaders(1, 1, &metadata.List{})
	tr.Applied()
	if got := tr.Cause(9); got != 9 {
		t.Errorf("after a frame the cause is %d", got)
	}
	e := r.Events()[1]
	if e.Op != "hpack" || e.Cause != 1 || e.Stream != 1 || tr.Last() != 2 || len(e.Fields) != 0 {
		t.Errorf("got %s with cause %d, Last %d", line(e), e.Cause, tr.Last())
	}
}

func TestOtherEvents(t *testing.T) {
	tr, r := tracer(trace.LevelEvents)
	blocked := tr.Blocked(3, 1, 500, -10, 65535, 77)
	tr.Window(0, 0, 0, 65540)
	tr.Window(0, 1, 5, 65540)
	tr.Unblocked(blocked, 1, 5, 65540)
	tr.StreamState(0, 1, "open", "closed")
	tr.Connection("goaway", trace.DirRecv, 0, "NO_ERROR")
	tr.Batch(64)
	tr.Socket("write", trace.DirSend, 64)
	tr.State("READY", nil)
	tr.State("SHUTDOWN", errors.New("closed"))
	want := []string{
		"flow.blocked send conn=7 stream=1 len=500 off=0 stream window -10, connection window 65535, 77 bytes wait for the socket",
		"flow.window send conn=7 stream=0 len=0 off=0 connection window 65540",
		"flow.window send conn=7 stream=1 len=0 off=0 stream window 5, connection window 65540",
		"flow.unblocked send conn=7 stream=1 len=0 off=0 stream window 5, connection window 65540",
		"stream.state  conn=7 stream=1 len=0 off=0 open → closed",
		"goaway recv conn=7 stream=0 len=0 off=0 NO_ERROR",
		"writer.batch send conn=7 stream=0 len=64 off=0",
		"write send conn=7 stream=0 len=64 off=0",
		"conn.state  conn=7 stream=0 len=0 off=0 READY",
		"conn.state  conn=7 stream=0 len=0 off=0 SHUTDOWN closed",
	}
	for i, e := range r.Events() {
		if got := line(e); got != want[i] {
			t.Errorf("got  %q\nwant %q", got, want[i])
		}
	}
	if e := r.Events()[3]; e.Cause != blocked {
		t.Errorf("a stream goes on because of %d, want %d", e.Cause, blocked)
	}
	if e := r.Events()[7]; e.Layer != 0 || e.Component != "socket" {
		t.Errorf("a write is of layer %d, %s", e.Layer, e.Component)
	}
}

func TestLongDebugData(t *testing.T) {
	tr, r := tracer(trace.LevelEvents)
	p := frame.AppendGoAway(nil, 0, frame.CodeNoError, strings.Repeat("d", 16000))
	tr.Received(frame.ParseHeader(p), p[frame.HeaderLen:])
	if text := r.Events()[0].Text; len(text) > 2*maxDebug {
		t.Errorf("a text of %d bytes", len(text))
	}
}

func TestOff(t *testing.T) {
	if (&Tracer{}).On() {
		t.Error("a tracer without a sink is on")
	}
	if tr, _ := tracer(trace.LevelEvents); !tr.On() {
		t.Error("a tracer with a sink is off")
	}
}
