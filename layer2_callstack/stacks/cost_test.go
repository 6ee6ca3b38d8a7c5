package stacks_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/internal/cost"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

var (
	costFile  = flag.String("cost", "", "measure what filters and stacks cost and write the figures to this `file`")
	updateDoc = flag.Bool("update-cost", false, "write the table of testdata/cost.txt into stacks.go")
)

// costRounds is how often each row is measured, in turn with the others, and
// costChunk how long at once.
const (
	costRounds = 1001
	costChunk  = 200 * time.Microsecond
)

// TestCost measures BenchmarkFilter and BenchmarkStack in turn and writes what
// each row costs more than the first of its side. It does nothing without -cost.
func TestCost(t *testing.T) {
	if *costFile == "" {
		return // figures are made on a quiet machine, and on demand
	}
	rows := append(filterRows(), stackRows()...)
	var runs []func(n int)
	for _, r := range rows {
		u := r.unary(t)
		runs = append(runs, func(n int) {
			for range n {
				if err := u.Run(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	ns := cost.Rounds(costRounds, costChunk, runs)

	var b strings.Builder
	fmt.Fprintf(&b, "# What a unary call costs in layer 2 above a transport that does nothing, in ns:\n")
	fmt.Fprintf(&b, "# the quickest tenth of %d rounds of BenchmarkFilter and BenchmarkStack in turn. The\n", costRounds)
	fmt.Fprintf(&b, "# first row is that transport and the test itself.\n# Written by make cost on %s.\n", cost.Machine())
	for _, cells := range costTable(rows, ns) {
		fmt.Fprintf(&b, "%s\n", strings.Join(cells, " | "))
	}
	if err := os.WriteFile(*costFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", &b)
}

// costTable returns a line for each thing that rows pass, with a cell for each
// side. ns has what each row took, by round.
func costTable(rows []row, ns [][]float64) [][]string {
	base := map[callstacktest.Side]float64{}
	table := [][]string{{"passed", "client", "server"}}
	for i, r := range rows {
		at := slices.IndexFunc(table, func(cells []string) bool { return cells[0] == r.text() })
		if at < 0 {
			at = len(table)
			table = append(table, []string{r.text(), "-", "-"})
		}
		figure := cost.Quick(ns[i])
		if from, ok := base[r.side]; ok {
			figure = max(0, figure-from) // less is noise
		} else {
			base[r.side] = figure
		}
		table[at][1+int(r.side)] = fmt.Sprintf("%.0f", figure)
	}
	return table
}

// text is the name of r in a table that has a column for each side.
func (r *row) text() string {
	name, side, _ := strings.Cut(r.name, "/side=")
	if _, more, ok := strings.Cut(side, "/"); ok {
		name += ", " + more
	}
	return name
}

// TestDocHasTheCosts: the table in stacks.go is that of the last measurement, of
// rows that there are. New ones have their figures after the next make cost.
func TestDocHasTheCosts(t *testing.T) {
	known := []string{"passed"}
	for _, r := range append(filterRows(), stackRows()...) {
		known = append(known, r.text())
	}
	var b strings.Builder
	for _, cells := range cost.Cells(t, "testdata/cost.txt", 3) {
		if !slices.Contains(known, cells[0]) {
			t.Errorf("testdata/cost.txt has figures for %q, which is no row any more", cells[0])
		}
		fmt.Fprintf(&b, "//\t%-30s%8s%8s\n", cells[0], cells[1], cells[2])
	}
	cost.CheckDoc(t, "stacks.go", b.String(), *updateDoc)
}
