package headerblock

import (
	"fmt"
	"testing"
)

// TestTableSizes: whatever the limits of the two ends are, they stay in step
// before and after the encoder's end has the other's SETTINGS.
func TestTableSizes(t *testing.T) {
	sizes := []uint32{0, 100, 1000, 4096, 32768, 4 << 20}
	for _, encode0 := range sizes {
		for _, decode0 := range sizes {
			t.Run(fmt.Sprintf("encoder=%d/decoder=%d", encode0, decode0), func(t *testing.T) {
				e, d := NewEncoder(), NewDecoder(wide)
				e.LimitTable(encode0)
				d.AllowTable(decode0)
				for i := range 60 {
					if i == 10 && decode0 != tableSize { // which is not told
						e.SetMaxTableSize(decode0)
						d.TableAcknowledged()
					}
					l := call("/s/m", "x", "1", fmt.Sprint("key-", i%30), fmt.Sprintf("value-%060d", i/2))
					want := show(l)
					if got := decodeOK(t, d, Request, encode(t, e, l)); got != want {
						t.Fatalf("block %d: got %s, want %s", i, got, want)
					}
				}
				if got, want := e.hpack.MaxDynamicTableSize(), min(encode0, decode0); got != want {
					t.Errorf("the encoder has a table of %d bytes, want %d", got, want)
				}
			})
		}
	}
}

// TestTableIsNotExceeded: a peer that goes beyond what it was allowed, or does not
// shrink when it has been told to, is out of step. RFC 7541 §4.2, RFC 9113 §4.3.1.
func TestTableIsNotExceeded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		most   uint32
		told   bool
		update []byte
		ok     bool
	}{
		{"larger, before the SETTINGS are acknowledged", 8192, false, resize(8192), true},
		{"larger than allowed", 8192, true, resize(8193), false},
		{"smaller, not told yet", 100, false, nil, true},
		{"smaller, told, without an update", 100, true, nil, false},
		{"smaller, told, as much as allowed", 100, true, resize(100), true},
		{"smaller, told, less than allowed", 100, true, resize(0), true},
		{"smaller, told, more than allowed", 100, true, resize(101), false},
		{"none", 0, true, resize(0), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := NewDecoder(wide)
			d.AllowTable(tc.most)
			if tc.told {
				d.TableAcknowledged()
			}
			block := join(tc.update, plain("a", "1"))
			if !tc.ok {
				if e := decodeBad(t, d, Trailers, block); e.StreamOnly {
					t.Errorf("got %+v, want a connection error", *e)
				}
				return
			}
			for range 2 { // once is enough
				if got := decodeOK(t, d, Trailers, block); got != `a:"1"` {
					t.Errorf("got %s", got)
				}
				block = plain("a", "1")
			}
		})
	}
}
