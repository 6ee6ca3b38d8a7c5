package http2

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestTraps is what x/net's Framer and header reader leave to whoever uses them,
// and what this package does about each. A transport on top of them has these
// faults unless it defends itself; we have frames of our own, so the rows show
// that the faults did not come in by another door.
func TestTraps(t *testing.T) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"X1: empty CONTINUATION frames are counted, not only their bytes", trapEmptyContinuation},
		{"X2: one string longer than the list limit costs its stream, as many short ones do", trapLongString},
		{"X3: HEADERS whose padding leaves nothing of the block end the connection", func(t *testing.T) {
			wantBreak(t, server, frame.CodeProtocol, "\x00\x00\x03\x01\x0c\x00\x00\x00\x01"+"\x03\x82\x86")
		}},
		{"X4: a frame too short for its flags is FRAME_SIZE_ERROR, not the end of the input", func(t *testing.T) {
			wantBreak(t, server, frame.CodeFrameSize, "\x00\x00\x04\x01\x24\x00\x00\x00\x01"+"\x00\x00\x00\x03")
			wantBreak(t, server, frame.CodeFrameSize, "\x00\x00\x00\x01\x0c\x00\x00\x00\x01")
			wantBreak(t, server, frame.CodeFrameSize, "\x00\x00\x00\x00\x08\x00\x00\x00\x01")
		}},
		{"X5: every value of SETTINGS is checked, and their number", trapSettings},
		{"X6: pseudo-header fields and te are checked, odd values are not refused", trapFields},
		{"X7: a small block of indexed fields does not become a large list", trapIndexedFields},
		{"X8: frames of unknown types are ignored, whatever their flags, stream and length", trapUnknownTypes},
		{"X9: a header block has a time to arrive in, however often a byte of it comes", trapSlowBlock},
		{"X10: push is switched off, and PUSH_PROMISE ends the connection", trapPush},
		{"X11: limits beyond 1 GiB are cut, so that twice the limit is a number", trapHugeLimit},
	} {
		t.Run(tc.name, tc.test)
	}
}

// wantBreak gives frames to a session whose peer has sent SETTINGS: the
// connection must end with the code.
func wantBreak(t *testing.T, r role, code frame.ErrCode, wire string) {
	t.Helper()
	wantCode(t, newAttacker(t, r, Config{}).send([]byte(wire)), code)
}

func trapEmptyContinuation(t *testing.T) {
	a := newAttacker(t, server, Config{})
	if err := a.send(frame.AppendHeader(nil, 0, frame.TypeHeaders, 0, 1)); err != nil {
		t.Fatal(err)
	}
	n, err := a.repeat(100, 0, func(uint32) []byte { return frame.AppendHeader(nil, 0, frame.TypeContinuation, 0, 1) })
	wantCode(t, err, frame.CodeEnhanceYourCalm)
	if n != maxContinuations {
		t.Errorf("%d empty CONTINUATION frames were taken, want %d", n, maxContinuations)
	}
}

func trapLongString(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, "client\nrecv SETTINGS\na start\nb start\nrecv HEADERS stream=1 END_STREAM :status=200 grpc-status=0 x-long=9000*~")
		out := s.step("recv HEADERS stream=3 END_STREAM :status=200 grpc-status=0")
		if !strings.Contains(out, `b: trailers status=0`) || s.broke != nil {
			t.Errorf("after a trailer of 9,000 bytes the other call got %q, and the connection %v", out, s.broke)
		}
		s = play(t, "server\nrecv SETTINGS")
		if out := s.step("recv HEADERS stream=1 :method=POST :scheme=http :path=/s/m x-long=9000*~"); !strings.Contains(out, ":status=431") {
			t.Errorf("a request with a field of 9,000 bytes got %q", out)
		}
	})
}

func trapSettings(t *testing.T) {
	setting := func(id frame.SettingID, val uint32) frame.Setting { return frame.Setting{ID: id, Val: val} }
	for _, tc := range []struct {
		name string
		set  []frame.Setting
		code frame.ErrCode
	}{
		{"MAX_FRAME_SIZE 0", []frame.Setting{setting(frame.SettingMaxFrameSize, 0)}, frame.CodeProtocol},
		{"ENABLE_PUSH 2", []frame.Setting{setting(frame.SettingEnablePush, 2)}, frame.CodeProtocol},
		{"the second of two windows", []frame.Setting{setting(frame.SettingInitialWindowSize, 1), setting(frame.SettingInitialWindowSize, 1<<31)}, frame.CodeFlowControl},
		{"33 of them", make([]frame.Setting, 33), frame.CodeEnhanceYourCalm},
	} {
		wantBreak(t, server, tc.code, string(frame.AppendSettings(nil, tc.set...)))
	}
	if err := newAttacker(t, server, Config{}).send(frame.AppendSettings(nil, make([]frame.Setting, 32)...)); err != nil {
		t.Errorf("32 settings, the same one each time: %v", err)
	}
}

func trapFields(t *testing.T) {
	for _, tc := range []struct {
		name, fields, want string
	}{
		{"no :path", ":method=POST :scheme=http", "RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"no :method", ":path=/s/m :scheme=http", "RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"no :scheme", ":path=/s/m :method=POST", "RST_STREAM stream=1 PROTOCOL_ERROR"},
		{"te", ":method=POST :scheme=http :path=/s/m te=gzip", "RST_STREAM stream=1 PROTOCOL_ERROR"},
		// gRPC-HTTP2 ASCII-Value: invalid values must not fail a call.
		{"a value that is not ASCII", ":method=POST :scheme=http :path=/s/m x-a=caf\xc3\xa9", "s1: accepted"},
	} {
		s := play(t, "server\nrecv SETTINGS")
		if out := s.step("recv HEADERS stream=1 " + tc.fields); !strings.Contains(out, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.name, out, tc.want)
		}
	}
}

func trapIndexedFields(t *testing.T) {
	a := newAttacker(t, server, Config{})
	// One field goes into the table, and 16,000 bytes name it again.
	block := requestBlock + "\x40\x01x\x00" + strings.Repeat("\xbe", 16000)
	b := append(frame.AppendHeader(nil, len(block), frame.TypeHeaders, frame.FlagEndHeaders|frame.FlagEndStream, 1), block...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := a.send(b)
	runtime.ReadMemStats(&after)
	if err != nil || a.accepted != 0 || a.sent[frame.TypeHeaders] != 1 {
		t.Fatalf("16,000 fields: %v, %d calls accepted, %d answers", err, a.accepted, a.sent[frame.TypeHeaders])
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 128<<10 {
		t.Errorf("a block of %d bytes took %d bytes of memory", len(block), got)
	}
}

func trapUnknownTypes(t *testing.T) {
	for _, r := range []role{client, server} {
		for kind := 0; kind <= 0xff; kind++ {
			for _, flags := range []frame.Flags{0, 0xff} {
				for _, id := range []uint32{0, 1, frame.MaxStreamID} {
					for _, n := range []int{0, 1, 4, 5, 8, 9, 16384} {
						a := newAttacker(t, r, Config{})
						b := append(frame.AppendHeader(nil, n, frame.Type(kind), flags, id), make([]byte, n)...)
						err := a.send(b)
						if kind > int(frame.TypeContinuation) && err != nil {
							t.Fatalf("a frame of type %#x with flags %#x on stream %d: %v", kind, flags, id, err)
						}
					}
				}
			}
		}
	}
}

func trapSlowBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		b := frame.AppendSettings([]byte(frame.ClientPreface))
		theirs.Write(append(b, frame.AppendHeader(nil, 0, frame.TypeHeaders, 0, 1)...))
		tr, err := Accept(t.Context(), ours, nil, Config{})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: &connCalls{}})
		go io.Copy(io.Discard, theirs)
		start := time.Now()
		for range maxContinuations { // fewer than are too many
			time.Sleep(3 * time.Second)
			if _, err := theirs.Write(append(frame.AppendHeader(nil, 1, frame.TypeContinuation, 0, 1), 0x82)); err != nil {
				break
			}
		}
		if got := time.Since(start); got > headerBlockTime+3*time.Second {
			t.Errorf("a block of which a byte came every 3 s was waited for until %v, want %v", got, headerBlockTime)
		}
		tr.Close()
		theirs.Close()
	})
}

func trapPush(t *testing.T) {
	if out := play(t, "client").step("client greet"); !strings.Contains(out, "SETTINGS_ENABLE_PUSH=0") {
		t.Errorf("a client begins with %q", out)
	}
	const promise = "\x00\x00\x04\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02"
	wantBreak(t, client, frame.CodeProtocol, promise)
	wantBreak(t, server, frame.CodeProtocol, promise)
}

func trapHugeLimit(t *testing.T) {
	for _, r := range []role{client, server} {
		s := newSession(r, nil, Config{MaxHeaderList: 1<<32 - 1}.withDefaults())
		if most, frames := s.blockLimits(); s.cfg.MaxHeaderList > 1<<30 || most <= 0 || frames <= 0 {
			t.Errorf("with the largest limit: a list of %d bytes, blocks of %d bytes and %d frames", s.cfg.MaxHeaderList, most, frames)
		}
	}
}
