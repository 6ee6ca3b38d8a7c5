package main

import (
	"go/ast"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxDocLines is the length of a doc.go: a contract, not a chapter.
	maxDocLines = 60
	// minDocLines is the length from which a package comment says something.
	minDocLines = 2
)

// layerSections are the parts of a layer's doc.go, in their order, and
// filterSections those of a filter's package comment.
var (
	layerSections  = []string{"Contract", "Goroutines", "Locks", "Reading order"}
	filterSections = []string{"Contract", "Goroutines", "Locks"}
)

var (
	fileName = regexp.MustCompile(`[\w./*<>-]+\.go\b`)
	lockName = regexp.MustCompile(`\b([A-Za-z]\w*)\.(\w*[mM]u)\b`)
)

// checkPackageDocs asks each package for a comment that says what it is, and
// each layer and each filter for the sections of its contract, and a layer for the
// file that opens it.
func checkPackageDocs(t *tree) {
	for _, p := range t.packages {
		files := p.source()
		if len(files) == 0 {
			continue // only tests, or only generated code
		}
		first := files[0]
		for _, f := range files {
			if f.ast.Doc != nil {
				first = f
			}
			if f.base() == "doc.go" && f.lines > maxDocLines {
				t.reportFile(f, "doc-size", "%d lines, at most %d", f.lines, maxDocLines)
			}
		}
		doc := strings.TrimSpace(p.doc())
		switch {
		case doc == "":
			t.reportFile(first, "package-doc", "package %s has no package comment", p.name)
		case p.name == "main" && !strings.HasPrefix(doc, "Command "):
			t.reportFile(first, "package-doc", "the comment of a command starts with \"Command\" and its name")
		case p.name != "main" && !strings.HasPrefix(doc, "Package "+p.name+" "):
			t.reportFile(first, "package-doc", "the package comment starts with \"Package %s\"", p.name)
		case strings.Count(doc, "\n")+1 < minDocLines:
			t.reportFile(first, "package-doc", "the comment of package %s is one line: say what it promises", p.name)
		}
		if p.isLayer() {
			checkLayerDoc(t, p, first)
		}
		if p.isFilter() {
			checkSections(t, p, first, "filter-doc", filterSections)
		}
	}
}

// checkLayerDoc looks at the two files that open a layer.
func checkLayerDoc(t *tree, p *pkg, first *file) {
	if first.base() != "doc.go" {
		t.reportFile(first, "layer-doc", "the contract of a layer stands in doc.go")
		return
	}
	opener := false
	for _, f := range p.files {
		opener = opener || f.base() == p.name+".go"
	}
	if !opener {
		t.reportFile(first, "layer-doc", "a layer has its types in %s.go", p.name)
	}
	checkSections(t, p, first, "layer-doc", layerSections)
}

// checkSections asks a package comment for sections in that order.
func checkSections(t *tree, p *pkg, first *file, rule string, titles []string) {
	rest := p.doc()
	for _, title := range titles {
		_, after, ok := strings.Cut(rest, "# "+title+"\n")
		if !ok {
			t.reportFile(first, rule, "no section \"# %s\" in its place", title)
			continue
		}
		rest = after
	}
}

// section returns the text of a section of a package comment.
func section(doc, title string) string {
	_, after, ok := strings.Cut(doc, "# "+title+"\n")
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(after, "\n# ")
	return text
}

// checkDocNames looks up the files and locks that a doc.go names: a comment
// that nothing checks goes stale.
func checkDocNames(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.source() {
			if f.ast.Doc == nil {
				continue
			}
			checkNamedFiles(t, p, f)
			for _, m := range lockName.FindAllStringSubmatch(section(f.ast.Doc.Text(), "Locks"), -1) {
				if !t.hasField(p.dir, m[1], m[2]) {
					t.report(f, t.mention(f.ast.Doc, m[0]), "doc-names", "no type %s with a field %s in %s or below", m[1], m[2], p.dir)
				}
			}
		}
	}
}

// checkNamedFiles looks up the files that a package comment names. A star
// stands for any name; a name with a placeholder such as <file> is none.
func checkNamedFiles(t *tree, p *pkg, f *file) {
	names := fileName.FindAllString(f.ast.Doc.Text(), -1)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if strings.ContainsAny(name, "<>") {
			continue
		}
		dir := p.dir
		if strings.HasPrefix(name, "tests/") || strings.HasPrefix(name, "internal/") && p.isLayer() {
			dir = "." // written from the top, as a reader would
		}
		found, err := filepath.Glob(filepath.Join(t.root, filepath.FromSlash(path.Join(dir, name))))
		if err != nil || len(found) == 0 {
			t.report(f, t.mention(f.ast.Doc, name), "doc-names", "%s does not exist", name)
		}
	}
}

// mention returns the line of a comment that contains a word.
func (t *tree) mention(doc *ast.CommentGroup, word string) token.Pos {
	for _, c := range doc.List {
		for i, line := range strings.Split(c.Text, "\n") {
			if strings.Contains(line, word) {
				return lineStart(t, c.Pos(), i)
			}
		}
	}
	return doc.Pos()
}

// hasField reports whether a struct type in dir or below it has the field.
func (t *tree) hasField(dir, typeName, field string) bool {
	for _, p := range t.packages {
		if p.dir != dir && !strings.HasPrefix(p.dir, dir+"/") {
			continue
		}
		for _, f := range p.source() {
			for _, d := range f.ast.Decls {
				gen, ok := d.(*ast.GenDecl)
				if !ok {
					continue
				}
				for _, spec := range gen.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if ok && ts.Name.Name == typeName && structHas(ts.Type, field) {
						return true
					}
				}
			}
		}
	}
	return false
}

// structHas reports whether expr is a struct with the named field.
func structHas(expr ast.Expr, field string) bool {
	s, ok := expr.(*ast.StructType)
	if !ok {
		return false
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			if name.Name == field {
				return true
			}
		}
	}
	return false
}
