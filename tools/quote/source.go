package main

import (
	"go/ast"
	"go/doc/comment"
	"go/token"
	"regexp"
	"strings"
)

// A source is a file whose declarations are being added.
type source struct {
	file    string
	fset    *token.FileSet
	lines   []string // each with its newline
	symbols map[string]quote
}

// add adds a declaration under a name. The first of a name stays: in a tree
// that compiles the others are of another platform or of package foo_test.
func (s *source) add(name string, n ast.Node, doc *ast.CommentGroup) {
	if _, known := s.symbols[name]; known || name == "_" || name == "init" {
		return
	}
	from, to := s.line(n.Pos()), s.line(n.End())
	first := from
	if doc != nil {
		first = s.line(doc.Pos())
	}
	s.symbols[name] = quote{File: s.file, Line: first, End: to, Code: s.cut(first, to), Doc: from - first}
}

// addPackage adds the doc comment of the package, as text.
func (s *source) addPackage(doc *ast.CommentGroup) {
	if _, known := s.symbols["package"]; known {
		return
	}
	s.symbols["package"] = quote{
		File: s.file, Line: s.line(doc.Pos()), End: s.line(doc.End()), Code: doc.Text(), HTML: asHTML(doc.Text()),
	}
}

// asHTML returns a doc comment as HTML. A name in brackets, which go doc would
// link, becomes code: there is no page for it here.
func asHTML(text string) string {
	p := comment.Parser{
		LookupPackage: func(name string) (string, bool) { return name, true },
		LookupSym:     func(recv, name string) bool { return true },
	}
	pr := comment.Printer{
		HeadingLevel: 5,
		HeadingID:    func(*comment.Heading) string { return "" },
		DocLinkURL:   func(*comment.DocLink) string { return "#symbol" },
	}
	return symbolLink.ReplaceAllString(string(pr.HTML(p.Parse(text))), "<code>$1</code>")
}

var symbolLink = regexp.MustCompile(`<a href="#symbol">(.*?)</a>`)

// addGroup adds the names of types, variables and constants.
func (s *source) addGroup(d *ast.GenDecl) {
	if d.Tok == token.IMPORT {
		return
	}
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			var n ast.Node = d
			doc := d.Doc
			if d.Lparen.IsValid() { // each type of a group stands for itself
				n, doc = spec, spec.Doc
			}
			s.add(spec.Name.Name, n, doc)
			s.addMembers(spec)
		case *ast.ValueSpec:
			for _, id := range spec.Names {
				s.add(id.Name, d, d.Doc)
			}
		}
	}
}

// addMembers adds the fields of a struct and the methods of an interface.
func (s *source) addMembers(spec *ast.TypeSpec) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, id := range f.Names {
			s.add(spec.Name.Name+"."+id.Name, f, f.Doc)
		}
	}
}

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

// cut returns whole lines, without the indentation that they share.
func (s *source) cut(from, to int) string {
	lines := s.lines[from-1 : to]
	indent := -1
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		if n := len(l) - len(strings.TrimLeft(l, "\t")); indent < 0 || n < indent {
			indent = n
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l[min(max(indent, 0), len(l)-len(strings.TrimLeft(l, "\t"))):])
	}
	return strings.TrimRight(b.String(), "\n")
}
