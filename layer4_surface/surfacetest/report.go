package surfacetest

import (
	"fmt"
	"strings"
)

// An outcome is how a case ended over a fixture.
type outcome uint8

const (
	notRun outcome = iota
	passed
	failed
	cannot // the fixture lacks what the case needs
	waits  // the case waits for a part that does not exist yet
)

var marks = [...]string{notRun: "?", passed: "ok", failed: "FAILED", cannot: "-", waits: "waits"}

// A Report is how the cases of a suite ended: the table name × fixture.
type Report struct {
	fixtures []Fixture
	rows     []reportRow
	index    map[string]int // row of a file/name
}

// A reportRow is one case over all fixtures.
type reportRow struct {
	file, name, waits string
	needs             []Capability
	cells             []outcome
}

func newReport(fixtures []Fixture) *Report {
	r := &Report{fixtures: fixtures, index: map[string]int{}}
	for _, tc := range suite() {
		r.index[tc.file+"/"+tc.name] = len(r.rows)
		row := reportRow{file: tc.file, name: tc.name, waits: tc.waits, needs: tc.needs, cells: make([]outcome, len(fixtures))}
		r.rows = append(r.rows, row)
	}
	return r
}

// set notes how tc ended over f.
func (r *Report) set(tc *testCase, f *Fixture, o outcome) {
	for i := range r.fixtures {
		if r.fixtures[i].Name == f.Name {
			r.rows[r.index[tc.file+"/"+tc.name]].cells[i] = o
		}
	}
}

// A Count is how many cells of a report say what.
type Count struct {
	Names    int // cases that exist
	Passed   int // cells of them: name × fixture
	Failed   int
	Cannot   int // the fixture lacks what the case needs
	NotRun   int // left out by -run
	WaitFor  int // names without a test, which wait for another part
	Fixtures int
}

// Count adds the table up.
func (r *Report) Count() Count {
	c := Count{Fixtures: len(r.fixtures)}
	for _, row := range r.rows {
		if row.waits != "" {
			c.WaitFor++
			continue
		}
		c.Names++
		for _, cell := range row.cells {
			switch cell {
			case passed:
				c.Passed++
			case failed:
				c.Failed++
			case cannot:
				c.Cannot++
			default:
				c.NotRun++
			}
		}
	}
	return c
}

// String returns the table, one row a case, under the files of gRPC core.
func (r *Report) String() string {
	var b strings.Builder
	nameWidth := r.nameWidth()
	head := fmt.Sprintf("%-*s", nameWidth, "name")
	for _, f := range r.fixtures {
		head += fmt.Sprintf(" %-8s", f.Name)
	}
	b.WriteString(strings.TrimRight(head, " ") + "\n")
	file := ""
	for _, row := range r.rows {
		if row.file != file {
			file = row.file
			fmt.Fprintf(&b, "%s\n", file)
		}
		line := fmt.Sprintf("  %-*s", nameWidth-2, row.name)
		if row.waits != "" {
			line += " waits for " + row.waits
		} else {
			for _, cell := range row.cells {
				line += fmt.Sprintf(" %-8s", marks[cell])
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	c := r.Count()
	fmt.Fprintf(&b, "\n%d names over %d fixtures: %d passed, %d failed, %d not run, %d cannot be (-); %d more names wait for other parts.\n",
		c.Names, c.Fixtures, c.Passed, c.Failed, c.NotRun, c.Cannot, c.WaitFor)
	b.WriteString("\nWhy a case cannot be (-) over a fixture:\n")
	for i := range r.fixtures {
		fmt.Fprintf(&b, "  %s: %s\n", r.fixtures[i].Name, r.fixtures[i].lacks())
	}
	b.WriteString("\nNot mirrored:\n")
	for _, n := range notMirrored {
		what := n.file
		if len(n.names) > 0 {
			what += " " + strings.Join(n.names, ", ")
		}
		fmt.Fprintf(&b, "  %s: %s\n", what, n.why)
	}
	return b.String()
}

// nameWidth is how wide the column of names is: as the longest that has cells.
func (r *Report) nameWidth() int {
	width := 0
	for _, row := range r.rows {
		if row.waits == "" {
			width = max(width, len("  ")+len(row.name))
		}
	}
	return width
}
