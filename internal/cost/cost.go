// Package cost measures functions in turn with one another, so that what a busy
// machine does meanwhile meets all of them, and keeps the figures in a file and
// in the comment of a package.
package cost

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Rounds measures each of runs so many times, in turn with the others, and
// returns what one call took, in ns by run and round. A run makes n calls. It goes
// on for about chunk at once, which is long beside one call and short beside what
// a machine does in between.
func Rounds(rounds int, chunk time.Duration, runs []func(n int)) [][]float64 {
	ns, sizes := make([][]float64, len(runs)), make([]int, len(runs))
	for i, run := range runs {
		for took := time.Duration(0); took < chunk; took = timeOf(run, sizes[i]) {
			sizes[i] = max(50, 2*sizes[i])
		}
	}
	for range rounds {
		for i, run := range runs {
			ns[i] = append(ns[i], float64(timeOf(run, sizes[i]))/float64(sizes[i]))
		}
	}
	return ns
}

func timeOf(run func(n int), n int) time.Duration {
	start := time.Now()
	run(n)
	return time.Since(start)
}

// Median returns the one in the middle of ns.
func Median(ns []float64) float64 { return quantile(ns, 2) }

// Quick returns what the quickest tenth of ns reaches: what a call takes where
// nobody else runs. The difference of two is the same on a machine that is busy.
func Quick(ns []float64) float64 { return quantile(ns, 10) }

// quantile returns the one behind an n-th of ns.
func quantile(ns []float64, n int) float64 {
	ns = slices.Clone(ns)
	slices.Sort(ns)
	return ns[len(ns)/n]
}

// Machine says what the figures were measured on.
func Machine() string {
	return fmt.Sprintf("%s %s/%s, %s, %d CPUs", runtime.Version(), runtime.GOOS, runtime.GOARCH, cpuModel(), runtime.GOMAXPROCS(0))
}

// cpuModel names the processor, where the system says what it is.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "processor unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, model, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "processor unknown"
}

// Cells returns the lines of a file of figures that have n cells.
func Cells(tb testing.TB, path string, n int) (rows [][]string) {
	tb.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.SplitSeq(string(file), "\n") {
		if cells := strings.Split(line, " | "); len(cells) == n && !strings.HasPrefix(line, "#") {
			rows = append(rows, cells)
		}
	}
	return rows
}

// CheckDoc checks that the table want, lines of a comment, stands in the source
// file at path, or puts it there. The table there is known by the first word.
func CheckDoc(tb testing.TB, path, want string, update bool) {
	tb.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	head, _, _ := strings.Cut(strings.TrimPrefix(want, "//\t"), " ")
	got := regexp.MustCompile(`//\t` + regexp.QuoteMeta(head) + ` .*\n(//\t.*\n)*`).FindString(string(doc))
	switch {
	case head == "" || got == "":
		tb.Fatalf("%s has no table that begins with %q", path, head)
	case update:
		if err := os.WriteFile(path, []byte(strings.Replace(string(doc), got, want, 1)), 0o644); err != nil {
			tb.Fatal(err)
		}
	case got != want:
		tb.Errorf("%s has\n%sbut the file of figures gives\n%smake cost writes both", path, got, want)
	}
}
