package cost

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestQuick takes the figures of a machine that others use half of the time.
func TestQuick(t *testing.T) {
	ns := []float64{900, 110, 105, 700, 104, 800, 100, 900, 103, 750, 102, 101, 700, 650, 106, 990, 107, 108, 109, 600}
	if got := Quick(ns); got != 102 {
		t.Errorf("the quickest tenth of 20 reaches %v, want 102", got)
	}
	if got := Median(ns); got != 600 && got != 110 || ns[0] != 900 {
		t.Errorf("the median is %v and the figures are now %v", got, ns)
	}
}

func TestRounds(t *testing.T) {
	var order []int
	run := func(i int, each time.Duration) func(n int) {
		return func(n int) {
			order = append(order, i)
			for start := time.Now(); time.Since(start) < time.Duration(n)*each; {
			}
		}
	}
	ns := Rounds(3, time.Millisecond, []func(n int){run(0, 10*time.Microsecond), run(1, 20*time.Microsecond)})
	for i, want := range []float64{10e3, 20e3} {
		if len(ns[i]) != 3 || Median(ns[i]) < want {
			t.Errorf("run %d took %v in 3 rounds, want at least %v ns", i, ns[i], want)
		}
	}
	for i, got := range order[len(order)-6:] {
		if got != i%2 {
			t.Fatalf("the rounds ran %v, want them in turn", order)
		}
	}
}

func TestCheckDoc(t *testing.T) {
	dir := t.TempDir()
	file, doc := filepath.Join(dir, "cost.txt"), filepath.Join(dir, "doc.go")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "# a | b\nway | ns\nx | 1 | 2\nslow | 7\n")
	rows := Cells(t, file, 2)
	if len(rows) != 2 || rows[0][0] != "way" || rows[1][1] != "7" {
		t.Fatalf("the lines with two cells are %q", rows)
	}
	write(doc, "// Package x.\n//\n//\tway   ns\n//\tslow  6\n//\n//\tother  1\npackage x\n")
	want := "//\tway   ns\n//\tslow  7\n"
	CheckDoc(t, doc, want, true)
	CheckDoc(t, doc, want, false)
	got, err := os.ReadFile(doc)
	if err != nil || string(got) != "// Package x.\n//\n"+want+"//\n//\tother  1\npackage x\n" {
		t.Errorf("the comment has become %q, %v", got, err)
	}
}
