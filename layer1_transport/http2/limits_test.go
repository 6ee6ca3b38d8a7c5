package http2

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// limits are all constants of config.go.
var limits = []struct {
	name      string
	got, want int64
}{
	{"defaultMaxStreams", defaultMaxStreams, 1024},
	{"assumedMaxStreams", assumedMaxStreams, 100},
	{"defaultStreamWindow", defaultStreamWindow, 1 << 20},
	{"defaultConnWindow", defaultConnWindow, 4 << 20},
	{"defaultMaxStreamWindow", defaultMaxStreamWindow, 4 << 20},
	{"defaultMaxConnWindow", defaultMaxConnWindow, 16 << 20},
	{"maxUnread", maxUnread, 16 << 20},
	{"defaultHeaderList", defaultHeaderList, 8 << 10},
	{"maxHeaderFields", maxHeaderFields, 128},
	{"maxContinuations", maxContinuations, 8},
	{"maxInformational", maxInformational, 16},
	{"maxSettings", maxSettings, 32},
	{"defaultTable", defaultTable, 4 << 10},
	{"maxPendingControl", maxPendingControl, 64 << 10},
	{"highWater", highWater, 256 << 10},
	{"defaultFaultBurst", defaultFaultBurst, 1000},
	{"faultRefill", faultRefill, 10},
	{"defaultRapidResets", defaultRapidResets, 1000},
	{"rapidReset", int64(rapidReset), int64(time.Second)},
	{"resetPause", int64(resetPause), int64(10 * time.Millisecond)},
	{"recentResets", recentResets, defaultMaxStreams},
	{"narrowWindow", narrowWindow, 16 << 10},
	{"maxResponseBlock", maxResponseBlock, 1<<20 + 64<<10},
	{"keepBlock", keepBlock, 32 << 10},
	{"maxSendFrame", maxSendFrame, 64 << 10},
	{"settingsAckTime", int64(settingsAckTime), int64(time.Minute)},
	{"refusedTime", int64(refusedTime), int64(time.Second)},
	{"endedStreams", endedStreams, 64},
	{"writeStall", int64(writeStall), int64(10 * time.Second)},
	{"defaultSendStall", int64(defaultSendStall), int64(5 * time.Minute)},
	{"stallProgress", stallProgress, 4 << 10},
	{"stallGrace", int64(stallGrace), int64(10 * time.Second)},
	{"handshakeTime", int64(handshakeTime), int64(10 * time.Second)},
	{"headerBlockTime", int64(headerBlockTime), int64(10 * time.Second)},
	{"drainPingTime", int64(drainPingTime), int64(5 * time.Second)},
	{"lingerTime", int64(lingerTime), int64(time.Second)},
	{"lingerReading", int64(lingerReading), int64(10 * time.Second)},
	{"closeWriteTime", int64(closeWriteTime), int64(100 * time.Millisecond)},
}

// TestLimits pins the limits, so that a change of one is a decision. SECURITY.md
// has the same table. None is left out.
func TestLimits(t *testing.T) {
	listed := map[string]bool{}
	for _, tc := range limits {
		listed[tc.name] = true
		if tc.got != tc.want {
			t.Errorf("%s is %d, the table says %d", tc.name, tc.got, tc.want)
		}
	}
	for _, name := range constantsOf(t, "config.go") {
		if !listed[name] {
			t.Errorf("config.go has %s, which the table does not pin", name)
		}
	}
	got := Config{}.withDefaults()
	want := Config{MaxStreams: 1024, StreamWindow: 1 << 20, ConnWindow: 4 << 20, MaxStreamWindow: 4 << 20, MaxConnWindow: 16 << 20,
		MaxHeaderList: 8 << 10, FaultBurst: 1000, RapidResets: 1000, SendStall: 5 * time.Minute, FirstStreamID: 1}
	if got.MaxStreams != want.MaxStreams || got.StreamWindow != want.StreamWindow || got.ConnWindow != want.ConnWindow ||
		got.MaxStreamWindow != want.MaxStreamWindow || got.MaxConnWindow != want.MaxConnWindow || got.MaxHeaderList != want.MaxHeaderList ||
		got.FaultBurst != want.FaultBurst || got.RapidResets != want.RapidResets || got.SendStall != want.SendStall || got.FirstStreamID != want.FirstStreamID {
		t.Errorf("the zero Config means %+v, want %+v", got, want)
	}
}

// constantsOf lists the constants that a file declares.
func constantsOf(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// attacks says which test shows the defence against which attack: the names are
// those of tests of this package and its sub-packages, and of transcripts.
var attacks = []struct {
	name  string
	tests string
}{
	{"A1 rapid reset, CVE-2023-44487", "TestRapidReset TestRapidResets TestRapidResetsAreSlowedDown"},
	{"A2 resets that are not read, GHSA-hrxh-6v49-42gf", "TestFloodsThatAreNotRead"},
	{"A3 MadeYouReset, CVE-2025-8671", "TestStreamFaultsAreCounted"},
	{"A4 PING flood, CVE-2019-9512", "TestFloodsThatAreNotRead TestFloodOfPings TestTooManyPings"},
	{"A5 reset flood, CVE-2019-9514", "TestStreamFaultsAreCounted TestFloodsThatAreNotRead"},
	{"A6 SETTINGS flood, CVE-2019-9515", "TestSettingsAreCounted TestFloodsThatAreNotRead"},
	{"A7 long SETTINGS, CVE-2020-11080", "TestManySettings"},
	{"A8 empty frames, CVE-2019-9518", "TestAllocsCheapFrames TestContinuationFlood"},
	{"A10 streams before the acknowledgement, CVE-2026-47244", "TestLimitBeforeAck"},
	{"A11 PRIORITY flood, CVE-2019-9513", "TestAllocsCheapFrames"},
	{"A12 WINDOW_UPDATE flood", "TestWindowUpdateFlood TestAllocsCheapFrames"},
	{"A13 unknown frames", "TestAllocsCheapFrames"},
	{"A14 stream identifiers, CVE-2016-0150", "TestStreamIdentifiers id_exhaustion.txt"},
	{"A15 hang at the end, CVE-2022-27664", "TestDrainIsBounded TestDrainEndsWithTheWriter"},
	{"A16 PUSH_PROMISE", "TestPushPromise"},
	{"A17 unknown types and long frames, CVE-2026-27141", "TestEveryTypeAndLength"},
	{"B1 CONTINUATION flood, CVE-2023-45288", "TestContinuationFlood"},
	{"B2 empty CONTINUATION, CVE-2026-33871", "TestContinuationFlood"},
	{"B3 HPACK bomb, CVE-2016-6581", "TestHeaderBombs"},
	{"B4 many tiny fields and a closed window, CVE-2026-49975", "TestHeaderBombs TestDribble"},
	{"B5 empty names, CVE-2019-9516", "TestEmptyNames"},
	{"B6 string lengths, CVE-2023-33953", "TestStringLengths"},
	{"B7 a table out of step, CVE-2023-32731", "TestHeaderBombs"},
	{"B8 the encoder's table", "TestTableOfThePeer"},
	{"B10 names that are kept, CVE-2022-41717", "TestNamesAreNotKept"},
	{"B12 a peer that takes no header lists", "TestTinyHeaderListOfThePeer TestLongTrailersKeepTheCode"},
	{"B13 SETTINGS_MAX_FRAME_SIZE 0, CVE-2026-33814", "TestFrameSizeOfThePeer"},
	{"limits of header lists", "TestHeaderLimits"},
	{"C1 a byte now and then, CVE-2019-9511", "TestDribble send_stall.txt"},
	{"C2 closed windows", "TestZeroWindow send_stall_connection.txt"},
	{"C3 windows that overflow", "window_overflow.txt"},
	{"C4 windows that flip", "TestWindowFlips negative_window.txt"},
	{"C5 a peer that ignores windows", "TestPeerIgnoresWindows connection_window.txt"},
	{"C6 uploads that nobody reads", "TestUnreadIsBounded"},
	{"C8 slow handshakes, CVE-2026-56853", "TestSlowloris TestSilentClient"},
	{"C9 slow header blocks", "TestSlowloris TestSlowHeaderBlock"},
	{"D1 a length that lies", "message_limit.txt"},
}

// TestAttacksHaveTests: no test of the table was renamed or lost.
func TestAttacksHaveTests(t *testing.T) {
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(b)
		}
	}
	for _, a := range attacks {
		for name := range strings.FieldsSeq(a.tests) {
			found := strings.Contains(tests.String(), "func "+name+"(t *testing.T)")
			if strings.HasSuffix(name, ".txt") {
				_, err := os.Stat(filepath.Join("testdata", "wire", name))
				found = err == nil
			}
			if !found {
				t.Errorf("%s: there is no %s", a.name, name)
			}
		}
	}
}
