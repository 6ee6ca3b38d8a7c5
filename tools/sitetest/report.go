package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A finding is one thing that is wrong.
type finding struct{ page, check, what string }

// A cell is one check of one page.
type cell struct{ page, check string }

// A report collects what was checked and what was found.
type report struct {
	quiet    bool // no table
	pages    []string
	checks   []string
	done     map[cell]bool
	findings []finding
}

// ran notes that a check has looked at a page.
func (r *report) ran(page, check string) {
	if r.done == nil {
		r.done = map[cell]bool{}
	}
	if !slices.Contains(r.pages, page) {
		r.pages = append(r.pages, page)
	}
	if !slices.Contains(r.checks, check) {
		r.checks = append(r.checks, check)
	}
	r.done[cell{page, check}] = true
}

// fail adds a finding. The same one counts once.
func (r *report) fail(page, check, format string, args ...any) {
	r.ran(page, check)
	f := finding{page, check, fmt.Sprintf(format, args...)}
	if !slices.Contains(r.findings, f) {
		r.findings = append(r.findings, f)
	}
}

// is adds a finding unless ok holds.
func (r *report) is(ok bool, page, check, format string, args ...any) {
	r.ran(page, check)
	if !ok {
		r.fail(page, check, format, args...)
	}
}

// print writes the table of pages and checks, the findings, and the counts.
func (r *report) print(w io.Writer) {
	count := map[cell]int{}
	for _, f := range r.findings {
		count[cell{f.page, f.check}]++
	}
	if !r.quiet {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "page")
		for _, c := range r.checks {
			fmt.Fprintf(t, "\t%s", c)
		}
		fmt.Fprintln(t)
		for _, p := range r.pages {
			fmt.Fprint(t, p)
			for _, c := range r.checks {
				n := count[cell{p, c}]
				switch {
				case n > 0:
					fmt.Fprintf(t, "\tFAIL %d", n)
				case r.done[cell{p, c}]:
					fmt.Fprint(t, "\tok")
				default:
					fmt.Fprint(t, "\t")
				}
			}
			fmt.Fprintln(t)
		}
		t.Flush()
	}
	for _, f := range r.findings {
		fmt.Fprintf(w, "%s: %s: %s\n", f.page, f.check, f.what)
	}
	fmt.Fprintf(w, "site: %d pages, %d checks, %d findings\n", len(r.pages), len(r.done), len(r.findings))
}
