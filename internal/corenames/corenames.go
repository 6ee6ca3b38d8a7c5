// Package corenames checks lists that say which test here stands for which test
// of gRPC core, so that a list cannot go stale.
package corenames

import (
	"os"
	"strings"
	"testing"
)

// A Row is one test of gRPC core.
type Row = struct {
	Core string // the program there, and the case where it has several
	File string // the file here, from the folder of the test that calls Check; empty where there is none
	Name string // a test or case that File contains, or why there is none
}

// Check fails t for each row whose file or name is gone, and logs the rows
// without one.
func Check(t testing.TB, rows []Row) {
	t.Helper()
	for _, row := range rows {
		if row.File == "" {
			t.Logf("%s: %s", row.Core, row.Name)
			continue
		}
		text, err := os.ReadFile(row.File)
		if err != nil || !strings.Contains(string(text), row.Name) {
			t.Errorf("%s: no %q in %s: %v", row.Core, row.Name, row.File, err)
		}
	}
}
