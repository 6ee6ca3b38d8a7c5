package memconn

import (
	"bytes"
	"testing"
)

// FuzzRing holds a ring against a slice that is appended to and cut. Each
// octet of script is a put, if even, or a take, if odd, of half as many.
func FuzzRing(f *testing.F) {
	f.Add(16, []byte{10, 5, 20, 3, 30, 255, 8})
	f.Add(1, []byte{2, 3, 2, 3})
	f.Add(100, []byte{200, 101, 150, 99, 98, 255, 254})
	f.Fuzz(func(t *testing.T, limit int, script []byte) {
		limit = 1 + int(uint(limit)%1000)
		r := ring{limit: limit}
		var want []byte
		next := byte(0)
		for _, op := range script {
			b := make([]byte, op/2)
			if op%2 == 0 {
				for i := range b {
					b[i] = next + byte(i)
				}
				n := r.put(b)
				if n != min(len(b), limit-len(want)) {
					t.Fatalf("put(%d) = %d with %d of %d queued", len(b), n, len(want), limit)
				}
				next += byte(n)
				want = append(want, b[:n]...)
			} else {
				n := r.take(b)
				if n != min(len(b), len(want)) || !bytes.Equal(b[:n], want[:n]) {
					t.Fatalf("take(%d) = %x, want the first of %x", len(b), b[:n], want)
				}
				want = want[n:]
			}
			if r.n != len(want) || r.n > len(r.mem) || len(r.mem) > limit || len(r.mem) > 0 && r.head >= len(r.mem) {
				t.Fatalf("invariant broken: n %d, head %d, memory %d, limit %d; want n %d", r.n, r.head, len(r.mem), limit, len(want))
			}
		}
	})
}
