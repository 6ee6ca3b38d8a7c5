package faultconn

import (
	"bytes"
	"io"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlansComeOfTheSeed(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(200) {
		p := Hostile(seed, 1000)
		if again := Hostile(seed, 1000); !reflect.DeepEqual(p, again) {
			t.Fatalf("seed %d gave\n%v\nand\n%v", seed, p, again)
		}
		n := len(p.Read.Faults) + len(p.Write.Faults)
		if n < 1 || n > 3 {
			t.Errorf("seed %d has %d faults", seed, n)
		}
		for _, f := range append(p.Read.Faults, p.Write.Faults...) {
			if f.At < 0 || f.At >= 1000 {
				t.Errorf("seed %d: %v is not among the first 1000 octets", seed, f)
			}
			seen[f.Kind.String()] = true
		}
		if b := Benign(seed); len(b.Read.Faults)+len(b.Write.Faults) != 0 {
			t.Errorf("a benign plan has faults: %v", b)
		}
	}
	if len(seen) != len(kindNames) {
		t.Errorf("200 seeds have the kinds %v", seen)
	}
	for seed := range uint64(50) {
		p := Hostile(seed, 1000, Corrupt)
		for _, f := range append(p.Read.Faults, p.Write.Faults...) {
			if f.Kind != Corrupt || f.Mask == 0 {
				t.Errorf("asked for corruption, got %v with mask %d", f, f.Mask)
			}
		}
	}
}

func TestPlanString(t *testing.T) {
	for _, tc := range []struct {
		plan Plan
		want string
	}{
		{Plan{}, "seed 0; read: as it is; write: as it is"},
		{Plan{Seed: 7, Read: Side{MaxChunk: 3}, Write: Side{Delay: time.Second}},
			"seed 7; read: pieces of up to 3; write: one in 1 waits up to 1s"},
		{Plan{Read: Side{Faults: []Fault{{At: 1, Kind: Stall}, {At: 2, Kind: Stall, For: time.Second}, {At: 3, Kind: Corrupt}, {At: 4, Kind: Reset}}}},
			"seed 0; read: stall at 1, stall 1s at 2, corrupt 0x01 at 3, reset at 4; write: as it is"},
	} {
		if got := tc.plan.String(); got != tc.want {
			t.Errorf("String() = %q, want %q", got, tc.want)
		}
	}
}

// FuzzOctets holds a connection against what may become of its octets: those
// that arrive are the first of those sent, changed where the plan says so. And
// whatever the plan, both ends come to an end.
func FuzzOctets(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint16(100*seed), uint16(3+seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size, chunk uint16) {
		synctest.Test(t, func(t *testing.T) {
			plans := [2]Plan{Hostile(seed, int64(size)+1), Hostile(^seed, int64(size)+1)}
			c, s := Pipe(plans[0], plans[1])
			sent := pattern(int(size))
			done := make(chan []byte)
			go func() {
				s.SetReadDeadline(time.Now().Add(time.Hour))
				var got []byte
				b := make([]byte, 1+int(chunk)%4096)
				for {
					n, err := s.Read(b)
					got = append(got, b[:n]...)
					if err != nil {
						break
					}
				}
				done <- got
			}()
			c.SetWriteDeadline(time.Now().Add(time.Hour))
			n, err := c.Write(sent)
			if n < len(sent) && err == nil {
				t.Errorf("Write = %d of %d without an error", n, len(sent))
			}
			if err == nil {
				c.Close()
			}
			got := <-done
			c.Close()
			s.Close()
			want := sent[:min(len(got), len(sent))]
			for _, side := range []Side{plans[0].Write, plans[1].Read} {
				for _, f := range side.Faults {
					if f.Kind == Corrupt && f.At < int64(len(want)) {
						want[f.At] ^= f.mask()
					}
				}
			}
			if !bytes.Equal(got, want) || len(got) > n {
				t.Errorf("%v\n%v\n%d of %d octets were written, %d arrived and differ", plans[0], plans[1], n, len(sent), len(got))
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("Read after Close: %v", err)
			}
		})
	})
}
