package coding

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestAppendTimeout(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{math.MinInt64, "0n"},
		{-1, "0n"},
		{0, "0n"},
		{1, "1n"},
		{time.Millisecond, "1000000n"},
		{99_999_999, "99999999n"},
		{100_000_000, "100000u"},
		{100_000_001, "100001u"}, // rounded up: a peer never gives up first
		{time.Second, "1000000u"},
		{99_999_999 * time.Microsecond, "99999999u"},
		{99_999_999*time.Microsecond + 1, "100000m"},
		{time.Hour, "3600000m"},
		{99_999_999 * time.Millisecond, "99999999m"},
		{99_999_999*time.Millisecond + 1, "100000S"},
		{99_999_999 * time.Second, "99999999S"},
		{99_999_999*time.Second + 1, "1666667M"},
		{99_999_999 * time.Minute, "99999999M"},
		{99_999_999*time.Minute + 1, "1666667H"},
		{math.MaxInt64, "2562048H"},
	} {
		if got := string(AppendTimeout([]byte("x"), tc.d)); got != "x"+tc.want {
			t.Errorf("AppendTimeout(%d) = %q, want %q after an x", tc.d, got, tc.want)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	for _, tc := range []struct {
		s    string
		want time.Duration
	}{
		{"0n", 0},
		{"00000000H", 0},
		{"1n", 1},
		{"2u", 2 * time.Microsecond},
		{"3m", 3 * time.Millisecond},
		{"4S", 4 * time.Second},
		{"5M", 5 * time.Minute},
		{"6H", 6 * time.Hour},
		{"00000010S", 10 * time.Second},
		{"99999999M", 99_999_999 * time.Minute},
		{"2562047H", 2562047 * time.Hour},
		{"2562048H", math.MaxInt64},
		{"99999999H", math.MaxInt64},
	} {
		if got, err := ParseTimeout(tc.s); err != nil || got != tc.want {
			t.Errorf("ParseTimeout(%q) = %v, %v; want %v", tc.s, got, err, tc.want)
		}
	}
	for _, s := range []string{
		"", "n", "1", "S1", "1X", "1s", "1h", "1N", "-1S", "+1S", " 1S", "1S ", "1 S", "1.5S", "0x1S", "1e3S",
		"999999999S", "1S,1S", "1SS", "\x001S", "1\x00", "１S", "1/S", "1:S", "18446744073709551616n",
	} {
		got, err := ParseTimeout(s)
		if err == nil {
			t.Errorf("ParseTimeout(%q) = %v, want an error", s, got)
		} else if len(s) > 2 && strings.Contains(err.Error(), s) {
			t.Errorf("ParseTimeout(%q) repeats its input: %v", s, err)
		}
	}
}

// FuzzTimeout: a timeout is never shortened, and it is prolonged by less than
// one part in 100,000: a larger unit is taken only for a number of nine digits
// and is at most 1,000 times larger, so that six digits are left. And what is
// accepted of a peer is within the grammar and has one meaning: written again
// and read again it stays the same.
func FuzzTimeout(f *testing.F) {
	for _, d := range []time.Duration{-1, 0, 1, time.Second + 1, time.Hour, math.MaxInt64, 99_999_999, 100_000_001} {
		f.Add(int64(d), string(AppendTimeout(nil, d)))
	}
	for _, s := range []string{"1S", "99999999H", "0n", "1", "-1S", "999999999S", "", "12345678m", "1S,1S", "0x1S"} {
		f.Add(int64(len(s)), s)
	}
	f.Fuzz(func(t *testing.T, n int64, s string) {
		sent := string(AppendTimeout(nil, time.Duration(n)))
		got, err := ParseTimeout(sent)
		if want := max(time.Duration(n), 0); err != nil || got < want || got-want > want/100_000 {
			t.Fatalf("%v travels as %q and arrives as %v, %v", want, sent, got, err)
		}
		d, err := ParseTimeout(s)
		if err != nil {
			return
		}
		if d < 0 || len(s) < 2 || len(s) > 9 || !strings.ContainsAny(s[len(s)-1:], "HMSmun") || strings.Trim(s[:len(s)-1], "0123456789") != "" {
			t.Fatalf("ParseTimeout(%q) = %v", s, d)
		}
		again, err := ParseTimeout(string(AppendTimeout(nil, d)))
		if err != nil || again != d {
			t.Fatalf("%q is %v, and that is %v, %v when sent on", s, d, again, err)
		}
	})
}
