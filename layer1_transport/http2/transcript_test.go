package http2

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/internal/transcript"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestTranscripts plays the conversations in testdata/wire against a session
// that has no connection: frames go in and come out as text.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, calls: map[string]*scriptCall{}}
				transcript.Run(t, file, s.step)
			})
		})
	}
}

// A script is the test's side of one session.
type script struct {
	t     *testing.T
	c     *conn
	calls map[string]*scriptCall
	out   strings.Builder
	broke error // the connection error, once there is one

	enc    *hpack.Encoder // the peer's
	encBuf bytes.Buffer
	dec    *hpack.Decoder // the peer's
	fields []string
}

// A scriptCall is one stream and its owner.
type scriptCall struct {
	s      *script
	name   string
	st     *stream
	refs   int
	header transport.StreamOpBatch // recv_initial_metadata and recv_trailing_metadata
	read   transport.StreamOpBatch
	first  metadata.List
	last   metadata.List
}

func (c *scriptCall) Ref()   { c.refs++ }
func (c *scriptCall) Unref() { c.refs-- }

// step carries out one line.
func (s *script) step(line string) string {
	s.out.Reset()
	words := strings.Fields(line)
	args := parseArgs(words[min(len(words), 2):])
	switch words[0] {
	case "client", "server":
		s.begin(words[0], parseArgs(words[1:]))
	case "recv":
		s.c.s.now = time.Now()
		s.recv(words[1], args)
	case "goaway":
		s.c.s.startGoAway(&transport.Goaway{Debug: "bye"})
	case "advance":
		s.advance(words[1])
	case "ping":
		s.c.s.ping(scriptDone{s, "ping"})
	case "disconnect":
		s.c.s.closeAll(errClosed)
	default:
		s.call(words[0], words[1], args)
	}
	s.settle()
	return s.out.String()
}

// advance lets time pass, and wakes the session whenever it wants to be.
func (s *script) advance(text string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(d); ; {
		next := s.c.s.control.alarms.Next()
		if next.IsZero() || next.After(end) {
			time.Sleep(time.Until(end)) //bars:allow sleep each transcript runs in a bubble
			return
		}
		time.Sleep(time.Until(next)) //bars:allow sleep each transcript runs in a bubble
		if err := s.c.s.onAlarms(time.Now()); err != nil {
			s.broke = err
			fmt.Fprintf(&s.out, "connection error: %v\n", err)
			return
		}
		s.settle()
	}
}

func (s *script) begin(role string, args scriptArgs) {
	r := client
	if role == "server" {
		r = server
	}
	cfg := Config{
		MaxStreams: uint32(args.number("max_streams")), StreamWindow: int32(args.number("stream_window")),
		ConnWindow:      int32(args.number("conn_window")),
		MaxStreamWindow: int32(args.number("max_stream_window")), MaxConnWindow: int32(args.number("max_conn_window")),
		MaxHeaderList: uint32(args.number("max_header_list")),
		EncoderTable:  args.number("encoder_table"), DecoderTable: args.number("decoder_table"),
		FirstStreamID: uint32(args.number("first_stream")),
		Keepalive:     keepalive.Params{Time: args.duration("time"), Timeout: args.duration("timeout"), PermitWithoutStream: args.has("permit")},
		Enforcement:   keepalive.EnforcementPolicy{MinTime: args.duration("min_time"), PermitWithoutStream: args.has("permit")},
	}.withDefaults()
	s.c = bareConn(newSession(r, nil, cfg))
	s.c.s.control.watchers = []connectivity.Watcher{s}
	if n := args.number("unread_limit"); n > 0 {
		s.c.s.flow.limit = n
	}
	s.enc = hpack.NewEncoder(&s.encBuf)
	s.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if len(f.Value) > 200 {
			f.Value = fmt.Sprintf("(%d bytes)", len(f.Value))
		}
		s.fields = append(s.fields, f.Name+"="+f.Value)
	})
	if args.has("greet") {
		s.c.s.greet()
	}
}

// OnState writes what a watcher is told.
func (s *script) OnState(state connectivity.State, cause error) {
	fmt.Fprintf(&s.out, "state %v", state)
	if cause != nil {
		fmt.Fprintf(&s.out, ": %v", cause)
	}
	s.out.WriteString("\n")
}

// recv gives the session one frame.
func (s *script) recv(kind string, args scriptArgs) {
	b := s.frame(kind, args)
	s.c.s.now = time.Now()
	for len(b) > 0 {
		h := frame.ParseHeader(b)
		end := frame.HeaderLen + int(h.Length)
		err := s.c.s.step(h, b[frame.HeaderLen:end])
		b = b[end:]
		if err != nil {
			s.broke = err
			fmt.Fprintf(&s.out, "connection error: %v\n", err)
			return
		}
		if in := &s.c.s.in; in.waiting {
			s.accept(in)
		}
	}
}

// accept takes a request; its call is named by its stream.
func (s *script) accept(in *incoming) {
	c := s.newCall("s" + strconv.Itoa(int(in.id)))
	c.st.Init(c, in)
	fmt.Fprintf(&s.out, "%s: accepted\n", c.name)
	c.listen()
}

func (s *script) newCall(name string) *scriptCall {
	c := &scriptCall{s: s, name: name}
	c.st = s.c.NewStream().(*stream)
	s.calls[name] = c
	return c
}

// call carries out "<name> <what> …".
func (s *script) call(name, what string, args scriptArgs) {
	c := s.calls[name]
	if what == "start" || what == "listen" {
		c = s.newCall(name)
		c.st.Init(c, nil)
		c.listen()
	}
	if c == nil {
		fmt.Fprintf(&s.out, "no call %s\n", name)
		return
	}
	b := &transport.StreamOpBatch{OnComplete: scriptDone{s, name + ": " + what}}
	switch what {
	case "listen":
		return
	case "start", "begin":
		b.Ops = transport.OpSendInitialMetadata
		b.SendInitialMetadata.MD = &metadata.List{Known: metadata.Known{Method: "POST", Scheme: "http", Path: "/s/m"}}
		args.fill(b.SendInitialMetadata.MD)
		if args.has("timeout") {
			b.SendInitialMetadata.MD.Deadline = time.Now().Add(time.Duration(args.number("timeout")) * time.Hour)
		}
	case "respond":
		b.Ops = transport.OpSendInitialMetadata
		b.SendInitialMetadata.MD = &metadata.List{Known: metadata.Known{HTTPStatus: cmp.Or(args["status"], "200")}}
	case "message":
		b.Ops = transport.OpSendMessage
		b.SendMessage.Buf = transport.WrapBuffer(make([]byte, args.number("len")))
		if args.has("unframed") {
			b.SendMessage.Flags = transport.FlagUnframed
		}
		if args.has("close") {
			b.Ops |= transport.OpSendTrailingMetadata
			b.SendTrailingMetadata.MD = &metadata.List{}
		}
	case "close":
		b.Ops = transport.OpSendTrailingMetadata
		b.SendTrailingMetadata.MD = &metadata.List{}
	case "finish":
		b.Ops = transport.OpSendTrailingMetadata
		b.SendTrailingMetadata.MD = &metadata.List{}
		b.SendTrailingMetadata.MD.SetStatus(uint32(args.number("status")), args.text("message"))
		if args.has("only") {
			b.SendTrailingMetadata.MD.HTTPStatus = "200"
		}
		args.fill(b.SendTrailingMetadata.MD)
	case "read":
		b = &c.read
		*b = transport.StreamOpBatch{Ops: transport.OpRecvMessage}
		b.RecvMessage = transport.RecvMessage{Limit: args.number("limit"), Only: args.has("only"), Ready: (*scriptRead)(c)}
	case "cancel":
		b.Ops, b.CancelErr = transport.OpCancelStream, status.Error(status.Code(args.number("status")), args.text("message"))
	case "reset":
		c.st.Reset()
		fmt.Fprintf(&s.out, "%s: references %d\n", name, c.refs)
		return
	default:
		s.t.Fatalf("unknown line %q %q", name, what)
	}
	s.c.s.perform(c.st, b)
}

func (c *scriptCall) listen() {
	b := &c.header
	*b = transport.StreamOpBatch{Ops: transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata}
	b.RecvInitialMetadata = transport.RecvInitialMetadata{MD: &c.first, Ready: (*scriptHeaders)(c)}
	b.RecvTrailingMetadata = transport.RecvTrailingMetadata{MD: &c.last, Ready: (*scriptTrailers)(c)}
	c.s.c.s.perform(c.st, b)
}

// settle delivers, tells, and writes what the session wants to send.
func (s *script) settle() {
	ses := s.c.s
	for ses.queues.dirtyHead != nil || len(ses.control.events) > 0 {
		deliverAll(ses.takeDirty())
		events := ses.control.events
		ses.control.events = nil
		for _, e := range events {
			e.tell()
		}
	}
	if ses.control.drained {
		s.out.WriteString("drained\n")
		ses.control.drained = false
	}
	batch := ses.out.Take()
	var b []byte
	for _, p := range batch.Buffers(0) {
		b = append(b, p...)
	}
	b = bytes.TrimPrefix(b, []byte(frame.ClientPreface))
	for len(b) > 0 {
		h := frame.ParseHeader(b)
		end := frame.HeaderLen + int(h.Length)
		s.sent(h, b[frame.HeaderLen:end])
		b = b[end:]
	}
	ses.pumpWaiting()
	if ses.out.Len() > 0 {
		s.settle()
	}
}

type scriptDone struct {
	s    *script
	what string
}

func (d scriptDone) Run(err error) { d.s.result(d.what, "", err) }

type (
	scriptHeaders  scriptCall
	scriptRead     scriptCall
	scriptTrailers scriptCall
)

func (c *scriptHeaders) Run(err error) {
	text := ":status=" + c.first.HTTPStatus
	if c.header.RecvInitialMetadata.TrailersOnly {
		text = "trailers only"
	} else if c.first.Path != "" {
		text = ":path=" + c.first.Path
	}
	c.s.result(c.name+": headers", text, err)
}

func (c *scriptRead) Run(err error) {
	text := "end"
	if m := c.read.RecvMessage.Message; m != nil {
		text = "len=" + strconv.Itoa(m.Len())
		m.Release()
	}
	c.s.result(c.name+": message", text, err)
}

func (c *scriptTrailers) Run(err error) {
	text := "end"
	if c.last.HasStatus {
		text = fmt.Sprintf("status=%d message=%q", c.last.Status, c.last.Message)
	}
	c.s.result(c.name+": trailers", text, err)
}

func (s *script) result(what, text string, err error) {
	var e *transport.Error
	if errors.As(err, &e) {
		text = fmt.Sprintf("failed: %v%s %v", e.Code, progressNames[e.Progress], err)
	} else if err != nil {
		text = fmt.Sprintf("failed: %v", err)
	} else if text == "" {
		text = "done"
	}
	fmt.Fprintf(&s.out, "%s %s\n", what, text)
}

// progressNames say whether a call that failed may be tried elsewhere.
var progressNames = map[transport.Progress]string{
	transport.ProgressNotSent: ", not sent:", transport.ProgressNotSeen: ", not seen:", transport.ProgressUnknown: ":",
}

// scriptArgs are the words "key=value" and "flag" of a line.
type scriptArgs map[string]string

func parseArgs(words []string) scriptArgs {
	args := scriptArgs{}
	for _, w := range words {
		k, v, _ := strings.Cut(strings.TrimPrefix(w, ":"), "=")
		if strings.HasPrefix(w, ":") {
			k = ":" + k
		}
		args[k] = v
	}
	return args
}

// fill adds a field of that many bytes, which Huffman code does not shorten.
func (a scriptArgs) fill(md *metadata.List) {
	if n := a.number("fill"); n > 0 {
		md.Append("x-fill", strings.Repeat("~", n))
	}
}

func (a scriptArgs) has(k string) bool    { _, ok := a[k]; return ok }
func (a scriptArgs) text(k string) string { return strings.ReplaceAll(a[k], "_", " ") }
func (a scriptArgs) duration(k string) time.Duration {
	if !a.has(k) {
		return 0
	}
	d, err := time.ParseDuration(a[k])
	if err != nil {
		panic(err)
	}
	return d
}
func (a scriptArgs) number(k string) int {
	n, err := strconv.ParseInt(a[k], 0, 64)
	if err != nil && a[k] != "" {
		panic(fmt.Sprintf("%s=%s is no number", k, a[k]))
	}
	return int(n)
}

// frame makes the bytes of one frame, or of several, of the peer.
func (s *script) frame(kind string, a scriptArgs) []byte {
	id := uint32(a.number("stream"))
	switch kind {
	case "SETTINGS":
		if a.has("ACK") {
			return frame.AppendSettingsAck(nil)
		}
		var set []frame.Setting
		for name, id := range map[string]frame.SettingID{"table": 1, "push": 2, "max_streams": 3, "initial_window": 4, "max_frame": 5, "max_header_list": 6} {
			if a.has(name) {
				set = append(set, frame.Setting{ID: id, Val: uint32(a.number(name))})
			}
		}
		sort.Slice(set, func(i, j int) bool { return set[i].ID < set[j].ID })
		return frame.AppendSettings(nil, set...)
	case "HEADERS":
		return s.headers(id, a)
	case "DATA":
		return s.data(id, a)
	case "WINDOW_UPDATE":
		return frame.AppendWindowUpdate(nil, id, uint32(a.number("incr")))
	case "RST_STREAM":
		return frame.AppendRSTStream(nil, id, frame.ErrCode(a.number("code")))
	case "PING":
		var data [8]byte
		data[7] = byte(a.number("data"))
		return frame.AppendPing(nil, a.has("ACK"), data)
	case "GOAWAY":
		return frame.AppendGoAway(nil, uint32(a.number("last")), frame.ErrCode(a.number("code")), a["debug"])
	case "RAW":
		b, err := hex.DecodeString(a["hex"])
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	s.t.Fatalf("unknown frame %q", kind)
	return nil
}

// headers encodes the fields of a line in the order of HTTP/2: pseudo-header
// fields first. "split=n" cuts the block into fragments of n bytes.
func (s *script) headers(id uint32, a scriptArgs) []byte {
	var names []string
	for k := range a {
		if k != "stream" && k != "END_STREAM" && k != "split" {
			names = append(names, k)
		}
	}
	sort.Slice(names, func(i, j int) bool {
		pi, pj := names[i][0] == ':', names[j][0] == ':'
		return pi && !pj || pi == pj && names[i] < names[j]
	})
	s.encBuf.Reset()
	for _, n := range names {
		value := a[n]
		if times, what, ok := strings.Cut(value, "*"); ok { // "9*x" is xxxxxxxxx
			k, _ := strconv.Atoi(times)
			value = strings.Repeat(what, k)
		}
		if err := s.enc.WriteField(hpack.HeaderField{Name: n, Value: value}); err != nil {
			s.t.Fatal(err)
		}
	}
	block := s.encBuf.Bytes()
	cut := a.number("split")
	if cut == 0 {
		cut = min(len(block), frame.MinMaxFrameSize)
	}
	var flags frame.Flags
	if a.has("END_STREAM") {
		flags = frame.FlagEndStream
	}
	var out []byte
	for kind := frame.TypeHeaders; ; kind = frame.TypeContinuation {
		n := min(cut, len(block))
		if n == len(block) {
			flags |= frame.FlagEndHeaders
		}
		out = append(frame.AppendHeader(out, n, kind, flags, id), block[:n]...)
		block, flags = block[n:], 0
		if len(block) == 0 {
			return out
		}
	}
}

// data makes a DATA frame: "message=n" is a whole message of n bytes, "len=n"
// bytes of zero, "prefix=n" only the beginning of a message of n bytes.
func (s *script) data(id uint32, a scriptArgs) []byte {
	var p []byte
	if a.has("message") || a.has("prefix") {
		n := a.number("message") + a.number("prefix")
		p = append(p, byte(a.number("flag")), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		p = append(p, make([]byte, a.number("message"))...)
	}
	p = append(p, make([]byte, a.number("len"))...)
	var flags frame.Flags
	if a.has("END_STREAM") {
		flags = frame.FlagEndStream
	}
	if a.has("pad") {
		flags |= frame.FlagPadded
		p = append([]byte{byte(a.number("pad"))}, append(p, make([]byte, a.number("pad"))...)...)
	}
	return append(frame.AppendHeader(nil, len(p), frame.TypeData, flags, id), p...)
}

// sent writes a frame of the session as a line.
func (s *script) sent(h frame.Header, p []byte) {
	fmt.Fprintf(&s.out, "send %v", h.Type)
	if h.StreamID != 0 {
		fmt.Fprintf(&s.out, " stream=%d", h.StreamID)
	}
	switch h.Type {
	case frame.TypeHeaders, frame.TypeContinuation:
		s.fields = nil
		if _, err := s.dec.Write(p); err != nil {
			s.t.Fatalf("the session sent a block that does not decode: %v", err)
		}
		if len(s.fields) > 0 {
			fmt.Fprintf(&s.out, " %s", strings.Join(s.fields, " "))
		}
	case frame.TypeData:
		fmt.Fprintf(&s.out, " len=%d", len(p))
	case frame.TypeSettings:
		if f, err := frame.ParseSettings(h, p); err == nil && !f.Ack {
			for i := range f.Len() {
				fmt.Fprintf(&s.out, " %v", f.At(i))
			}
		} else {
			s.out.WriteString(" ACK")
		}
	case frame.TypeRSTStream:
		f, _ := frame.ParseRSTStream(h, p)
		fmt.Fprintf(&s.out, " %v", f.Code)
	case frame.TypeWindowUpdate:
		f, _ := frame.ParseWindowUpdate(h, p)
		fmt.Fprintf(&s.out, " incr=%d", f.Increment)
	case frame.TypePing:
		f, _ := frame.ParsePing(h, p)
		fmt.Fprintf(&s.out, " data=%d ack=%v", f.Data[7], f.Ack)
	case frame.TypeGoAway:
		f, _ := frame.ParseGoAway(h, p)
		fmt.Fprintf(&s.out, " last=%d %v %q", f.LastStreamID, f.Code, f.Debug)
	}
	if h.Type <= frame.TypeHeaders && h.Flags.Has(frame.FlagEndStream) {
		s.out.WriteString(" END_STREAM")
	}
	s.out.WriteString("\n")
}
