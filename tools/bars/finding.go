package main

import (
	"cmp"
	"fmt"
	"go/token"
	"slices"
	"strings"
)

// A finding is one place where a bar is missed.
type finding struct {
	path string
	line int
	rule string
	text string
}

// String returns the finding in the form editors jump to.
func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.rule, f.text)
}

// An allow is a //bars:allow comment. It covers the lines of its comment group
// and the one below, where the declaration or statement begins.
type allow struct {
	rule        string
	line        int
	first, last int
	used        bool
}

// allowPrefix begins an allow. Go's tools leave such directives out of the
// documentation.
const allowPrefix = "//bars:allow"

// readAllows collects the allows of a file; a malformed one is a finding.
func (t *tree) readAllows(f *file) {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			rest, ok := strings.CutPrefix(c.Text, allowPrefix)
			if !ok {
				continue
			}
			words := strings.Fields(rest)
			if len(words) < 2 {
				t.found = append(t.found, finding{f.path, t.line(c.Pos()), "allow", "write " + allowPrefix + " rule reason"})
				continue
			}
			f.allows = append(f.allows, &allow{
				rule: words[0], line: t.line(c.Pos()),
				first: t.line(group.Pos()), last: t.line(group.End()) + 1,
			})
		}
	}
}

// report adds a finding at pos, unless it is allowed there.
func (t *tree) report(f *file, pos token.Pos, rule, format string, args ...any) {
	line := t.line(pos)
	for _, a := range f.allows {
		if a.rule == rule && a.first <= line && line <= a.last {
			a.used = true
			t.allowed++
			return
		}
	}
	t.found = append(t.found, finding{f.path, line, rule, fmt.Sprintf(format, args...)})
}

// reportFile adds a finding about a whole file, unless it is allowed above
// the package clause.
func (t *tree) reportFile(f *file, rule, format string, args ...any) {
	clause := t.line(f.ast.Package)
	for _, a := range f.allows {
		if a.rule == rule && a.line < clause {
			a.used = true
			t.allowed++
			return
		}
	}
	t.found = append(t.found, finding{f.path, clause, rule, fmt.Sprintf(format, args...)})
}

// findings returns what was found, in order, with the allows that allowed
// nothing.
func (t *tree) findings() []finding {
	all := slices.Clone(t.found)
	for _, p := range t.packages {
		for _, f := range p.files {
			for _, a := range f.allows {
				if !a.used {
					all = append(all, finding{f.path, a.line, "allow", "nothing to allow for " + a.rule + ": remove it"})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.path, b.path), cmp.Compare(a.line, b.line), strings.Compare(a.rule, b.rule))
	})
	return all
}
