package main

import (
	"fmt"
	"go/ast"
	"slices"
)

// The bars on size. Whoever reads the repository as a course holds one file
// and one function in mind at a time.
const (
	maxFileLines     = 500
	maxTestFileLines = 800
	maxFuncLines     = 80
	maxStructFields  = 20
	maxFolderFiles   = 15

	// shortFileLines is what shortFileShare percent of the files keep to.
	shortFileLines = 300
	shortFileShare = 80
	// p90FuncLines is the length that nine of ten functions keep to.
	p90FuncLines = 30
	// minSample is the number of functions below which shares say nothing.
	minSample = 100
)

// checkSizes looks at the length of files and functions and at structs.
func checkSizes(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.written() {
			limit := maxFileLines
			if f.test {
				limit = maxTestFileLines
			}
			if f.lines > limit {
				t.reportFile(f, "file-size", "%d lines, at most %d: split it by concept", f.lines, limit)
			}
		}
		for _, f := range p.source() {
			checkDecls(t, f)
		}
	}
}

// checkDecls looks at the functions and structs of a file that is no test.
// Tests are left out: a long table is easy to read.
func checkDecls(t *tree, f *file) {
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			if n := t.funcLines(fn); n > maxFuncLines {
				t.report(f, fn.Pos(), "func-size", "%s has %d lines, at most %d", fn.Name.Name, n, maxFuncLines)
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			if n := countFields(s); n > maxStructFields {
				t.report(f, spec.Pos(), "struct-size", "%s has %d fields, at most %d: which object wants to be born?", spec.Name.Name, n, maxStructFields)
			}
		}
		return true
	})
}

// countFields counts the fields of a struct, an embedded one as one.
func countFields(s *ast.StructType) int {
	n := 0
	for _, field := range s.Fields.List {
		n += max(1, len(field.Names))
	}
	return n
}

// funcLines returns the lines from the head of a function to its last brace.
func (t *tree) funcLines(fn *ast.FuncDecl) int {
	return t.line(fn.End()) - t.line(fn.Pos()) + 1
}

// checkFolders counts the source files of each folder.
func checkFolders(t *tree) {
	for _, p := range t.packages {
		if files := p.source(); len(files) > maxFolderFiles {
			first := files[0]
			for _, f := range files {
				if f.base() == "doc.go" {
					first = f // where an allow would be looked for
				}
			}
			t.reportFile(first, "folder-size", "%s has %d source files, at most %d: a sub-package is due", p.dir, len(files), maxFolderFiles)
		}
	}
}

// A sizeFigures holds the figures of the library's module.
type sizeFigures struct {
	files, funcs int
	shortFiles   int // percent of the files
	p90          int // lines
	longest      int // lines of the longest function
}

// sizes measures the library's module.
func (t *tree) sizes() sizeFigures {
	var s sizeFigures
	var lengths []int
	short := 0
	for _, p := range t.packages {
		if p.module != "." {
			continue
		}
		for _, f := range p.source() {
			s.files++
			if f.lines <= shortFileLines {
				short++
			}
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					lengths = append(lengths, t.funcLines(fn))
				}
			}
		}
	}
	s.funcs = len(lengths)
	if s.files > 0 {
		s.shortFiles = short * 100 / s.files
	}
	if s.funcs > 0 {
		slices.Sort(lengths)
		s.p90 = lengths[(s.funcs*9+9)/10-1]
		s.longest = lengths[s.funcs-1]
	}
	return s
}

// checkFigures compares the figures of the library's module with their bars.
func checkFigures(t *tree) {
	s := t.sizes()
	if s.funcs < minSample {
		return
	}
	if s.shortFiles < shortFileShare {
		t.found = append(t.found, finding{".", 1, "file-size", fmt.Sprintf("%d%% of the library's files have at most %d lines, the bar is %d%%", s.shortFiles, shortFileLines, shortFileShare)})
	}
	if s.p90 > p90FuncLines {
		t.found = append(t.found, finding{".", 1, "func-size", fmt.Sprintf("nine of ten functions of the library have at most %d lines, the bar is %d", s.p90, p90FuncLines)})
	}
}

// figures returns the figures in one line.
func (t *tree) figures() string {
	s := t.sizes()
	return fmt.Sprintf("bars: library: %d files, %d%% of them up to %d lines; %d functions, p90 %d lines, longest %d",
		s.files, s.shortFiles, shortFileLines, s.funcs, s.p90, s.longest)
}
