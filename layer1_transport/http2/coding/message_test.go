package coding

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEncodeMessage(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"plain text", "not found: a~b", "not found: a~b"},
		{"percent", "100%", "100%25"},
		{"what looks encoded", "%41", "%2541"},
		{"line breaks and NUL", "a\r\nb\x00", "a%0D%0Ab%00"},
		{"DEL and tab", "\x7f\t", "%7F%09"},
		{"the whole plain range", " !\"#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~", "%20!\"#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~"},
		{"UTF-8", "é世", "%C3%A9%E4%B8%96"},
		{"spaces at both ends", " a b ", "%20a b%20"},
		{"a space alone", " ", "%20"},
		{"octets that are not UTF-8", "a\xff\xfeb", "a%EF%BF%BDb"},
		{"a surrogate", "\xed\xa0\x80", "%EF%BF%BD"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := EncodeMessage(tc.text)
			if got != tc.want {
				t.Errorf("EncodeMessage(%q) = %q, want %q", tc.text, got, tc.want)
			}
			if back, want := DecodeMessage(got), strings.ToValidUTF8(tc.text, "\uFFFD"); back != want {
				t.Errorf("DecodeMessage(%q) = %q, want %q", got, back, want)
			}
		})
	}
}

func TestDecodeMessage(t *testing.T) {
	for _, tc := range []struct{ name, s, want string }{
		{"both cases of digits", "%4a%4A", "JJ"},
		{"a percent sign at the end", "50%", "50%"},
		{"half an escape at the end", "%4", "%4"},
		{"two percent signs", "%%", "%%"},
		{"no digits", "%zz%4z%z4", "%zz%4z%z4"},
		{"an escape right after a broken one", "%%41", "%A"},
		{"digits are not looked at twice", "%2541", "%41"},
		{"an octet that is not UTF-8", "a%FFb", "a\uFFFDb"},
		{"UTF-8 that was not encoded", "é", "é"},
		{"an octet that was not encoded", "a\xffb", "a\uFFFDb"},
		{"the neighbours of the digits", "%/0%:0%@0%G0%`0%g0", "%/0%:0%@0%G0%`0%g0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := DecodeMessage(tc.s); got != tc.want {
				t.Errorf("DecodeMessage(%q) = %q, want %q", tc.s, got, tc.want)
			}
		})
	}
}

// checkMessage: every text arrives as it was but for what is not UTF-8, and
// what a peer sends is read whatever it is.
func checkMessage(t *testing.T, s string) {
	e := EncodeMessage(s)
	if !ValidMetadataValue(e) || !ValidValue(e) {
		t.Fatalf("EncodeMessage(%q) = %q, which is no field value", s, e)
	}
	if got, want := DecodeMessage(e), strings.ToValidUTF8(s, "\uFFFD"); got != want {
		t.Fatalf("%q travels as %q and arrives as %q", s, e, got)
	}
	d := DecodeMessage(s)
	if !utf8.ValidString(d) || len(d) > 3*len(s) {
		t.Fatalf("DecodeMessage(%q) = %q", s, d)
	}
	if !strings.Contains(s, "%") && utf8.ValidString(s) && d != s {
		t.Fatalf("DecodeMessage(%q) = %q, though nothing is encoded", s, d)
	}
}
