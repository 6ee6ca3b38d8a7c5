package coding

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// decodeBin collects what DecodeBin yields.
func decodeBin(s string) (values []string, err error) {
	err = DecodeBin(s, func(v string) { values = append(values, v) })
	return values, err
}

func TestBin(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for _, tc := range []struct{ name, v, want string }{
		{"nothing", "", ""},
		{"one octet", "\x00", "AA"},
		{"two octets", "\x00\xff", "AP8"},
		{"three octets", "\xfb\xff\xbf", "+/+/"},
		{"as much as is coded on the stack", long[:stackBin], base64.StdEncoding.EncodeToString([]byte(long[:stackBin]))},
		{"one octet more", long[:stackBin+1], base64.RawStdEncoding.EncodeToString([]byte(long[:stackBin+1]))},
		{"many", long, base64.RawStdEncoding.EncodeToString([]byte(long))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := EncodeBin(tc.v)
			if got != tc.want {
				t.Errorf("EncodeBin(%q) = %q, want %q", tc.v, got, tc.want)
			}
			padded := base64.StdEncoding.EncodeToString([]byte(tc.v))
			for _, s := range []string{got, padded} {
				if values, err := decodeBin(s); err != nil || !slices.Equal(values, []string{tc.v}) {
					t.Errorf("DecodeBin(%q) = %q, %v; want %q", s, values, err, tc.v)
				}
			}
		})
	}
}

func TestDecodeBin(t *testing.T) {
	for _, tc := range []struct {
		name, s string
		want    []string // nil for an error
	}{
		{"joined values", "AA,AQ,Ag", []string{"\x00", "\x01", "\x02"}},
		{"joined values with padding", "AA==,AAA=", []string{"\x00", "\x00\x00"}},
		{"joined values with spaces", "AA, AQ ,\tAg", []string{"\x00", "\x01", "\x02"}},
		{"joined empty values", ",", []string{"", ""}},
		{"bits after the last octet that are not zero", "AB", []string{"\x00"}},
		{"no base64", "!!!", nil},
		{"half an octet", "A", nil},
		{"a space inside", "A A", nil},
		{"line breaks, which base64 skips elsewhere", "A\r\nA", nil},
		{"too little padding", "AA=", nil},
		{"too much padding", "AA===", nil},
		{"padding of a whole", "AAAA====", nil},
		{"nothing but padding", "====", nil},
		{"padding inside", "AA==AA==", nil},
		{"the URL alphabet", "-_-_", nil},
		{"one of many malformed", "AA,!", nil},
		{"not ASCII", "\xff\xff", nil},
		{"long and malformed", strings.Repeat("A", 1000) + "!AAA", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decodeBin(tc.s)
			if tc.want == nil {
				if err == nil {
					t.Fatalf("DecodeBin(%q) = %q, want an error", tc.s, got)
				}
				if err != errBin {
					t.Errorf("DecodeBin(%q): %v, want the error that says nothing of the value", tc.s, err)
				}
				return
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("DecodeBin(%q) = %q, %v; want %q", tc.s, got, err, tc.want)
			}
		})
	}
}

// checkBin: all octets arrive as they were, and what a peer sends has one
// meaning.
func checkBin(t *testing.T, s string) {
	e := EncodeBin(s)
	if !ValidMetadataValue(e) || strings.ContainsAny(e, ",=") {
		t.Fatalf("EncodeBin(%q) = %q", s, e)
	}
	if got, err := decodeBin(e + ", " + e); err != nil || !slices.Equal(got, []string{s, s}) {
		t.Fatalf("%q travels twice as %q and arrives as %q, %v", s, e, got, err)
	}
	// As input from a peer: what is accepted has one value for each part,
	// and says the same when it is sent on.
	values, err := decodeBin(s)
	if err != nil {
		return
	}
	if len(values) != strings.Count(s, ",")+1 {
		t.Fatalf("DecodeBin(%q) = %q", s, values)
	}
	for i, v := range values {
		if again, err := decodeBin(EncodeBin(v)); err != nil || again[0] != v {
			t.Fatalf("value %d of %q is %q, and %q, %v when sent on", i, s, v, again, err)
		}
	}
}
