package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWriteJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(LevelBytes)
		client, server := r.Endpoint("client", "server"), r.Endpoint("server", "client")
		Role(client, "http2 client reader")
		time.Sleep(1500 * time.Nanosecond)
		client.Emit(&Event{Cause: 1, Layer: 1, Component: "http2", Op: OpFrame, Dir: DirSend, Conn: 1, Stream: 1, Text: "HEADERS END_HEADERS",
			Size: 2, Fields: []Field{{":path", "/s/m?<a&b>"}, {"x", ""}}, Bytes: []byte{0x00, 0xff}, Offset: 24})
		server.Emit(&Event{Layer: 1, Component: "http2", Op: OpFrame, Dir: DirRecv, Conn: 2, Stream: 1, Offset: 24})
		server.Emit(&Event{Layer: 4, Component: "call", Op: "start_batch", Dir: DirUp, Call: 7, Batch: 3, Tag: "t1", Err: errors.New("no\nway")})
		var b strings.Builder
		if err := WriteJSON(&b, Header{Title: "a test", Scenario: "unary", Virtual: true}, r.Events()); err != nil {
			t.Fatal(err)
		}
		want := `{"grpctrace":1,"title":"a test","clock":"virtual","t0":"2000-01-01T00:00:00Z","unit":"ns","endpoints":[{"id":"client"},{"id":"server"}],"lanes":[{"id":"client/http2 client reader","ep":"client"},{"id":"server/http2 client reader","ep":"server"}],"scenario":{"name":"unary"}}
{"i":1,"t":0,"ep":"client","lane":"client/http2 client reader","layer":0,"comp":"goroutine","op":"role","ph":"i","data":{"text":"http2 client reader"}}
{"i":2,"t":1500,"ep":"client","lane":"client/http2 client reader","layer":1,"comp":"http2","op":"frame","ph":"i","dir":"tx","conn":1,"stream":1,"cause":1,"off":24,"data":{"text":"HEADERS END_HEADERS","len":2,"fields":[{"n":":path","v":"/s/m?<a&b>"},{"n":"x"}]},"bytes":"00ff"}
{"i":3,"t":1500,"ep":"server","lane":"server/http2 client reader","layer":1,"comp":"http2","op":"frame","ph":"i","dir":"rx","conn":2,"stream":1,"cause":2,"off":24}
{"i":4,"t":1500,"ep":"server","lane":"server/http2 client reader","layer":4,"comp":"call","op":"start_batch","ph":"i","dir":"up","call":7,"batch":3,"tag":"t1","data":{"error":"no\nway"}}
`
		if b.String() != want {
			t.Errorf("got\n%s\nwant\n%s", b.String(), want)
		}
	})
}

func TestWriteJSONEmpty(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, Header{}, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), `{"grpctrace":1,"clock":"monotonic","unit":"ns","endpoints":[],"lanes":[]}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestWriteJSONLines: every line is an object, whatever a peer has sent.
func TestWriteJSONLines(t *testing.T) {
	r := NewRecorder(LevelBytes)
	for _, s := range []string{"", "\n", "\xff\x00", `"}`, "\u2028"} {
		r.Endpoint(s, s).Emit(&Event{Component: s, Op: s, Tag: s, Text: s, Fields: []Field{{s, s}}, Err: errors.New(s)})
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, Header{Title: "\xff\n"}, r.Events()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines, want 6", len(lines))
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room--; d.room < 0 {
		return 0, os.ErrNotExist
	}
	return len(p), nil
}

func TestWriteJSONErrors(t *testing.T) {
	for room := range 2 {
		err := WriteJSON(&fullDisk{room}, Header{}, []Record{{ID: 1}})
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("with room for %d lines: %v", room, err)
		}
	}
}

func ExampleNewRecorder() {
	r := NewRecorder(LevelEvents)
	client, server := r.Endpoint("client", "server"), r.Endpoint("server", "client")
	client.Emit(&Event{Layer: 1, Op: OpFrame, Dir: DirSend, Conn: 1, Text: "HEADERS"})
	server.Emit(&Event{Layer: 1, Op: OpFrame, Dir: DirRecv, Conn: 2, Text: "HEADERS"})
	for _, e := range r.Events() {
		fmt.Println(e.ID, e.Endpoint, e.Dir, e.Text, "cause", e.Cause)
	}
	// Output:
	// 1 client send HEADERS cause 0
	// 2 server recv HEADERS cause 1
}
