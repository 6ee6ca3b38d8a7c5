package main

import (
	"go/token"
	"regexp"
	"strings"
)

var (
	marker       = regexp.MustCompile(`\b(` + "TO" + `DO|FIXME|XXX)\b(\(#\d+\))?`)
	nolint       = regexp.MustCompile(`^//\s*nolint`)
	nolintReason = regexp.MustCompile(`^//nolint:[a-z0-9]+(,[a-z0-9]+)* // \S`)
)

// checkMarkers asks each note of work left for an issue, and each exception
// from a linter for its name and reason.
func checkMarkers(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.written() {
			for _, group := range f.ast.Comments {
				for _, c := range group.List {
					for i, line := range strings.Split(c.Text, "\n") {
						m := marker.FindStringSubmatch(line)
						if m != nil && m[2] == "" {
							t.report(f, lineStart(t, c.Pos(), i), "marker", "%s without an issue: write %s(#123) or do it", m[1], m[1])
						}
					}
					if nolint.MatchString(c.Text) && !nolintReason.MatchString(c.Text) {
						t.report(f, c.Pos(), "nolint", "write //nolint:linter // reason")
					}
				}
			}
		}
	}
}

// lineStart returns a position n lines below pos, in the same file.
func lineStart(t *tree, pos token.Pos, n int) token.Pos {
	if n == 0 {
		return pos
	}
	return t.fset.File(pos).LineStart(t.line(pos) + n)
}
