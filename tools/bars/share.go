package main

import (
	"bytes"
	"fmt"
	"io"
)

// The share of comment lines among the lines that are not blank, in percent.
// Outside it, names or files are wrong more often than comments. It is
// printed, not enforced: padding would be the easiest way to reach it.
const (
	minShare = 15
	maxShare = 30
	// minShareLines is the size below which a share says nothing.
	minShareLines = 100
)

// commentLines counts the lines of a file that have only a comment, and those
// that are not blank.
func (t *tree) commentLines(f *file) (comments, all int) {
	isComment := map[int]bool{}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			at := t.fset.Position(c.Pos())
			before := f.src[at.Offset-(at.Column-1) : at.Offset]
			if len(bytes.TrimSpace(before)) == 0 {
				isComment[at.Line] = true
			}
			for n := at.Line + 1; n <= t.line(c.End()); n++ {
				isComment[n] = true
			}
		}
	}
	n := 0
	for line := range bytes.Lines(f.src) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		all++
		if isComment[n] {
			comments++
		}
	}
	return comments, all
}

// printShares prints the share of each package, outliers marked.
func printShares(w io.Writer, t *tree) {
	fmt.Fprintf(w, "comment lines of non-blank lines, %d to %d%% expected:\n", minShare, maxShare)
	for _, p := range t.packages {
		comments, all := 0, 0
		for _, f := range p.source() {
			c, a := t.commentLines(f)
			comments += c
			all += a
		}
		if all == 0 {
			continue
		}
		share := comments * 100 / all
		mark := ""
		if all >= minShareLines && (share < minShare || share > maxShare) {
			mark = "  *"
		}
		fmt.Fprintf(w, "  %3d%%  %5d lines  %s%s\n", share, all, p.dir, mark)
	}
}
