package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An index is package directory to symbol to quote.
type index map[string]map[string]quote

// A quote is one declaration as it stands in its file.
type quote struct {
	File string `json:"file"` // from the top of the repository
	Line int    `json:"line"` // of the first line of Code
	End  int    `json:"end"`  // of its last line

	// Code is the declaration with its doc comment, without the indentation
	// that all of its lines share. Of a package it is the doc comment alone.
	Code string `json:"code"`

	// HTML is the doc comment of a package for a page, empty for the rest.
	HTML string `json:"html,omitempty"`

	// Doc is how many lines of Code are its doc comment.
	Doc int `json:"doc,omitempty"`
}

// load reads all Go files below root.
func load(root string) (index, error) {
	ix := index{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		switch {
		case d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "public"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(base, ".go"):
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return ix.addFile(name, filepath.ToSlash(rel))
	})
	return ix, err
}

// addFile adds the declarations of one file, which is called rel in the index.
func (ix index) addFile(name, rel string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s := &source{file: rel, fset: fset, lines: strings.SplitAfter(string(text), "\n"), symbols: ix[path.Dir(rel)]}
	if s.symbols == nil {
		s.symbols = map[string]quote{}
		ix[path.Dir(rel)] = s.symbols
	}
	if f.Doc != nil {
		s.addPackage(f.Doc)
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			s.add(funcName(d), d, d.Doc)
		case *ast.GenDecl:
			s.addGroup(d)
		}
	}
	return nil
}

// funcName returns the symbol of a function or method.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	t, star := d.Recv.List[0].Type, ""
	if p, ok := t.(*ast.StarExpr); ok {
		t, star = p.X, "*"
	}
	switch g := t.(type) { // the type parameters are not part of the symbol
	case *ast.IndexExpr:
		t = g.X
	case *ast.IndexListExpr:
		t = g.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return "(" + star + id.Name + ")." + d.Name.Name
	}
	return d.Name.Name
}
