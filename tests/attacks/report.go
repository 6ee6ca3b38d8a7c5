package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// A report prints rows as they come and keeps them for the file.
type report struct {
	out    io.Writer
	quick  bool
	rows   []row
	broken int // bounds of Strata
}

func newReport(out io.Writer, quick bool) *report {
	fmt.Fprintf(out, "%-5s %-34s %-8s %9s %10s %8s %8s  %-14s %s\n",
		"", "attack", "victim", "frames", "heap+stack", "CPU", "handlers", "other client", "reaction")
	return &report{out: out, quick: quick}
}

// add prints one row, and below it the bounds that Strata breaks.
func (p *report) add(r row) {
	p.rows = append(p.rows, r)
	other := "-"
	if r.Loaded.Calls > 0 {
		other = fmt.Sprintf("%s>%s %d err", short(r.Quiet.P99), short(r.Loaded.P99), len(r.Loaded.Failed))
	}
	fmt.Fprintf(p.out, "%-5s %-34.34s %-8s %9d %7d KiB %7.2fs %8d  %-14s %s\n",
		r.Attack, r.Name, r.Impl, r.Frames, r.HeapGrowth>>10, r.CPU.Seconds(), r.Handlers, other, r.Reaction)
	if r.Impl != "strata" {
		if r.Script != "" {
			fmt.Fprintf(p.out, "      %s\n", r.Script)
		}
		return
	}
	for _, b := range r.Broken {
		p.broken++
		fmt.Fprintf(p.out, "      BROKEN %s\n", b)
	}
}

// short prints a duration in milliseconds.
func short(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d)/1e6) }

// end prints the last lines.
func (p *report) end(took time.Duration) {
	fmt.Fprintf(p.out, "\nother client: p99 of a well-behaved client before > during the attack, and its failed calls\n")
	fmt.Fprintf(p.out, "%d rows in %.0f s; %d bounds of strata broken\n", len(p.rows), took.Seconds(), p.broken)
}

// writeJSON writes the rows, with what is needed to read them later.
func (p *report) writeJSON(file string) error {
	b, err := json.MarshalIndent(struct {
		Date, Go, Platform string
		CPUs               int
		Quick              bool
		Rows               []row
	}{time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, runtime.NumCPU(), p.quick, p.rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
