package framescript

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestParseErrors: a slip is found when the script is parsed, and the error
// names the line.
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ name, text, err string }{
		{"no role", "send PREFACE", `s:1: the first step must be "client" or "server", not "send PREFACE"`},
		{"empty", "# nothing\n", `no line "client" or "server"`},
		{"an unknown step", "client\n\nshout", `s:3: "shout" is no step`},
		{"an unknown frame", "client\nsend GREETING", `s:2: send: "GREETING" is no frame`},
		{"an unknown field", "client\nsend PING stream=3", `it has no "stream" (data)`},
		{"an unknown flag", "client\nsend DATA stream=1 FIN", `"FIN" is none of its flags`},
		{"no number", "client\nsend DATA stream=one", `stream: "one" is no number`},
		{"no code", "client\nsend RST_STREAM code=OOPS", `code: "OOPS" is no error code`},
		{"no hexadecimal", "client\nraw 0g", `"0g" are no hexadecimal bytes`},
		{"too much", "client\nraw 00*99999999999", `is more than 67108864 bytes`},
		{"no setting", "client\nsend SETTINGS colour=3", `"colour" is no setting`},
		{"a quote without an end", `client` + "\n" + `send GOAWAY debug="x`, "a quote without an end"},
		{"a loop without an end", "client\nwait 1s\nrepeat 3\nsend PING\n", "s:3: repeat without an end"},
		{"an end without a loop", "client\nend", "s:2: end without repeat"},
		{"a loop until what", "client\nrepeat 3 until=tea\nend", "until=tea, want goaway or close"},
		{"no duration", "client\nwait 3", `no duration`},
		{"a lone dollar", "client\nset a=$", "a name must follow the $"},
		{"a comparison that is sent", "client\nsend GOAWAY debug~=x", "compares, which only expect and await do"},
		{"awaiting nothing", "client\nawait nothing", "nothing can be expected, not awaited"},
		{"a bad note", "client\n@ x", "no name for a note"},
		{"loops too deep", "client\n" + strings.Repeat("repeat 1\n", 9), "loops more than 8 deep"},
		{"reading how", "client\nreading maybe", `"maybe" is neither on nor off`},
		{"answering what", "client\nanswer DATA", `"DATA" is not expected here`},
		{"counting what", "client\ncount TEA", `"TEA" is no frame`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("s", tc.text)
			check(t, "Parse", err, tc.err)
		})
	}
}

func TestNumbersAndBytes(t *testing.T) {
	for text, want := range map[string]uint64{"10": 10, "0x1f": 31, "64KiB": 65536, "1MiB+1": 1048577, "3*16384+2*2": 49156} {
		if got, err := parseNumber(text); got != want || err != nil {
			t.Errorf("parseNumber(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string][]byte{
		"": nil, "00ff": {0, 255}, "be*3": {0xbe, 0xbe, 0xbe}, "82+be*2+83": {0x82, 0xbe, 0xbe, 0x83}, "00_01": {0, 1},
	} {
		if got, err := parseHex(text); !bytes.Equal(got, want) || err != nil {
			t.Errorf("parseHex(%q) = %x, %v, want %x", text, got, err, want)
		}
	}
	for n, want := range map[uint64][]byte{10: {10}, 126: {126}, 127: {127, 0}, 1337: {127, 0xba, 0x09}} {
		if got := varint(n, 7); !bytes.Equal(got, want) { // RFC 7541 §5.1
			t.Errorf("varint(%d) = %x, want %x", n, got, want)
		}
	}
}

// FuzzParse: whatever the text, Parse returns a script or an error that names
// a line of it; it neither panics nor takes memory without end. A script that
// parses does so again after comments and blank lines were put between.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"tour_client.txt", "tour_server.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("client\nrepeat 3 id=1+2 until=goaway\n  send HEADERS stream=$id request=/s/m \"a\"=\"b c\"\nend\nlinger 1s until=close")
	f.Add("@heap 3KiB\nclient\ndrip 1 every=1s\nraw 50+00*3\ncount DATA min=1 max=2\nset a=b$$${c}")
	f.Add("client\nsend GOAWAY debug=\"\\x00\"\nawait GOAWAY debug~=x within=1s code=?c")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("f", text)
		if err != nil {
			located, ok := err.(*Error)
			if !ok || located.Line < 1 || located.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%v names no line of the text", err)
			}
			return
		}
		spaced, err := Parse("f", strings.ReplaceAll(text, "\n", "\n# comment\n\n"))
		if err != nil {
			t.Fatalf("with blank lines: %v", err)
		}
		if len(spaced.steps) != len(s.steps) || len(spaced.notes) != len(s.notes) {
			t.Fatalf("%d steps and %d notes, with blank lines %d and %d", len(s.steps), len(s.notes), len(spaced.steps), len(spaced.notes))
		}
	})
}
