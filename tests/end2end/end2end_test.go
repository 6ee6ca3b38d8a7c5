package end2end

import (
	"flag"
	"os"
	"testing"

	"github.com/strata-grpc/strata/layer4_surface/surfacetest"
)

var update = flag.Bool("update", false, "rewrite table.txt; review the diff")

// TestEnd2End runs the suite over all fixtures and compares the table with the
// one that is kept.
func TestEnd2End(t *testing.T) {
	report := surfacetest.Run(t, Fixtures()...)
	t.Logf("\n%s", report)
	if t.Failed() {
		return
	}
	if report.Count().NotRun > 0 {
		t.Log("some cases were left out, so table.txt is not compared")
		return
	}
	if *update {
		if err := os.WriteFile("table.txt", []byte(report.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile("table.txt")
	if err != nil {
		t.Fatal(err)
	}
	if report.String() != string(want) {
		t.Error("table.txt says something else; run again with -update and review the diff")
	}
}
