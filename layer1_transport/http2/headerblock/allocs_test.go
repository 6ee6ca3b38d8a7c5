//go:build !race

package headerblock

import (
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// TestAllocs: the blocks that every call has cost nothing once they are known,
// with a deadline and without.
func TestAllocs(t *testing.T) {
	ok := &metadata.List{}
	ok.SetStatus(0, "")
	headers := &metadata.List{Known: metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}}
	for _, tc := range []struct {
		name string
		kind Kind
		list *metadata.List
	}{
		{"request with a deadline", Request, benchCall()},
		{"request without a deadline", Request, call("/s/m")},
		{"request with metadata that repeats", Request, call("/s/m", "authorization", "Bearer token")},
		{"response headers", Response, headers},
		{"trailers that say OK", Trailers, ok},
	} {
		e, d := NewEncoder(), NewDecoder(wide)
		var list metadata.List
		var p []byte
		run := func() {
			list.Reset()
			var err error
			if p, err = e.Append(p[:0], tc.list, t0); err == nil {
				err = d.Decode(p, tc.kind, &list, t0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			run()
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tc.name, n)
		}
	}
}
