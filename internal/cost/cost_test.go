package cost

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAbove takes the figures of a machine that is slow in half of the rounds.
func TestAbove(t *testing.T) {
	base := []float64{200, 100, 101, 200, 102, 200, 200, 103}
	row := []float64{300, 150, 152, 310, 150, 290, 320, 151}
	if got := Above(row, base); got != 51 {
		t.Errorf("the row took %v ns more, want 51: those of the quickest rounds are 50 and 51", got)
	}
	if got := Median(base); got != 200 || base[0] != 200 || base[1] != 100 {
		t.Errorf("the median is %v and the figures are now %v", got, base)
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
	ns := Rounds(3, []func(n int){run(0, 10*time.Microsecond), run(1, 20*time.Microsecond)})
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
