package cq_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var updateDoc = flag.Bool("update-cost", false, "write the table of testdata/cost.txt into doc.go")

// costTable is the part of testdata/cost.txt about waiting, as doc.go shows it.
func costTable(file string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(file, "\n") {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		fmt.Fprintf(&b, "//\t%-34s%9s%17s%11s\n", cells[0], cells[1], cells[2], cells[3])
	}
	return b.String()
}

// TestDocHasTheCosts: the table in doc.go is that of the last measurement. make
// cost measures in layer4_surface, whose calls these are, and writes both.
func TestDocHasTheCosts(t *testing.T) {
	file, err := os.ReadFile("testdata/cost.txt")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	want := costTable(string(file))
	table := regexp.MustCompile(`//\tanswered.*\n(//\t.*\n)*`)
	got := table.FindString(string(doc))
	if got == "" || strings.Count(want, "\n") != 6 {
		t.Fatalf("doc.go has the table %q, testdata/cost.txt %q", got, want)
	}
	if *updateDoc {
		doc = []byte(strings.Replace(string(doc), got, want, 1))
		if err := os.WriteFile("doc.go", doc, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want {
		t.Errorf("doc.go has\n%stestdata/cost.txt gives\n%smake cost writes both", got, want)
	}
}
