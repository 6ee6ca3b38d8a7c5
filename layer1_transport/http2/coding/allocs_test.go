//go:build !race

package coding

import (
	"strings"
	"testing"
	"time"
)

// TestAllocs: what every call goes through allocates nothing, a base64 value
// of usual length only its result.
func TestAllocs(t *testing.T) {
	buf := make([]byte, 0, 16)
	value := strings.Repeat("v", stackBin)
	coded := EncodeBin(strings.Repeat("v", stackBin*3/4))
	length := 0
	for _, tc := range []struct {
		name string
		want float64
		run  func()
	}{
		{"AppendTimeout", 0, func() { length += len(AppendTimeout(buf, 20*time.Second)) }},
		{"ParseTimeout", 0, func() { _, _ = ParseTimeout("20000000u") }},
		{"ParseTimeout with an error", 0, func() { _, _ = ParseTimeout("soon") }},
		{"EncodeMessage of plain text", 0, func() { length += len(EncodeMessage("not found: a")) }},
		{"EncodeMessage", 1, func() { length += len(EncodeMessage("not found: 世")) }},
		{"DecodeMessage of plain text", 0, func() { length += len(DecodeMessage("not found: a")) }},
		{"DecodeMessage", 1, func() { length += len(DecodeMessage("not found: %E4%B8%96")) }},
		{"EncodeBin", 1, func() { length += len(EncodeBin(value)) }},
		{"EncodeBin of nothing", 0, func() { length += len(EncodeBin("")) }},
		{"DecodeBin", 1, func() { _ = DecodeBin(coded, func(v string) { length += len(v) }) }},
		{"DecodeBin with an error", 0, func() { _ = DecodeBin("!!!", func(v string) { length += len(v) }) }},
		{"predicates", 0, func() {
			if ValidName("x") && ValidValue("x") && ValidMetadataKey("x") && ValidMetadataValue("x") && IsReserved("x") && IsBin("x") {
				length++
			}
		}},
	} {
		if n := testing.AllocsPerRun(100, tc.run); n != tc.want {
			t.Errorf("%s: %v allocations, want %v", tc.name, n, tc.want)
		}
	}
}
