package cq_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/internal/cost"
)

var updateDoc = flag.Bool("update-cost", false, "write the table of testdata/cost.txt into doc.go")

// TestDocHasTheCosts: the table in doc.go is the part about waiting of the last
// measurement. make cost measures in layer4_surface, whose calls these are, and
// writes both.
func TestDocHasTheCosts(t *testing.T) {
	var b strings.Builder
	for _, cells := range cost.Cells(t, "testdata/cost.txt", 4) {
		fmt.Fprintf(&b, "//\t%-34s%9s%17s%11s\n", cells[0], cells[1], cells[2], cells[3])
	}
	if n := strings.Count(b.String(), "\n"); n != 6 {
		t.Fatalf("testdata/cost.txt has %d lines about waiting, want 6", n)
	}
	cost.CheckDoc(t, "doc.go", b.String(), *updateDoc)
}
