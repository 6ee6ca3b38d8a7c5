package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modulePath is the path of the module at the root of the tree.
const modulePath = "github.com/strata-grpc/strata"

// A tree is the Go source of the repository.
type tree struct {
	root     string
	fset     *token.FileSet
	packages []*pkg          // by folder
	byDir    map[string]*pkg // the same
	modules  []string        // folders with a go.mod, slash-separated; "." is the library

	found   []finding
	allowed int
}

// A pkg is the Go files of one folder, tests included.
type pkg struct {
	dir    string // slash-separated, from the root
	name   string // of the files that are no tests; else of the tests
	module string // folder of its module
	files  []*file
}

// A file is one parsed Go file.
type file struct {
	path      string // slash-separated, from the root
	ast       *ast.File
	lines     int
	src       []byte
	test      bool
	generated bool
	allows    []*allow
}

// base returns the file's name without its folder.
func (f *file) base() string { return path.Base(f.path) }

// inLibrary reports whether the package is part of the library's module and
// can be imported.
func (p *pkg) inLibrary() bool { return p.module == "." && p.name != "main" }

// isLayer reports whether the package is a layer itself, not a part of one.
func (p *pkg) isLayer() bool {
	return strings.HasPrefix(p.dir, "layer") && strings.Contains(p.dir, "_") && !strings.Contains(p.dir, "/")
}

// isFilter reports whether the package is a filter of a layer: a folder of its own
// in the layer's folder filters.
func (p *pkg) isFilter() bool {
	layer, filters := path.Split(path.Dir(p.dir))
	return strings.HasPrefix(layer, "layer") && strings.Count(layer, "/") == 1 && filters == "filters"
}

// source returns the files that are neither tests nor generated.
func (p *pkg) source() []*file {
	var files []*file
	for _, f := range p.files {
		if !f.test && !f.generated {
			files = append(files, f)
		}
	}
	return files
}

// written returns the files that are not generated.
func (p *pkg) written() []*file {
	var files []*file
	for _, f := range p.files {
		if !f.generated {
			files = append(files, f)
		}
	}
	return files
}

// doc returns the text of the package comment, of all files that have one.
func (p *pkg) doc() string {
	var text strings.Builder
	for _, f := range p.files {
		if !f.test && f.ast.Doc != nil {
			text.WriteString(f.ast.Doc.Text())
		}
	}
	return text.String()
}

// loadTree parses every Go file below root.
func loadTree(root string) (*tree, error) {
	t := &tree{root: root, fset: token.NewFileSet(), byDir: map[string]*pkg{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		base := d.Name()
		switch {
		case d.IsDir():
			hidden := rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_"))
			if hidden || base == "testdata" || base == "node_modules" {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				t.modules = append(t.modules, rel)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case path.Ext(rel) == ".go":
			return t.add(rel)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(t.packages) == 0 {
		return nil, fmt.Errorf("no Go files below %s", root)
	}
	slices.SortFunc(t.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return t, nil
}

// add parses one file into the package of its folder.
func (t *tree) add(rel string) error {
	src, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(rel)))
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(t.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &file{
		path:      rel,
		ast:       parsed,
		lines:     bytes.Count(src, []byte("\n")),
		src:       src,
		test:      strings.HasSuffix(rel, "_test.go"),
		generated: ast.IsGenerated(parsed),
	}
	dir := path.Dir(rel)
	p := t.byDir[dir]
	if p == nil {
		p = &pkg{dir: dir, module: t.moduleOf(dir)}
		t.byDir[dir] = p
		t.packages = append(t.packages, p)
	}
	if !f.test || p.name == "" {
		p.name = parsed.Name.Name
	}
	p.files = append(p.files, f)
	if !f.generated {
		t.readAllows(f)
	}
	return nil
}

// moduleOf returns the folder of the innermost module around dir. Modules are
// found before the files in them, as a folder is walked before its contents.
func (t *tree) moduleOf(dir string) string {
	best := "."
	for _, m := range t.modules {
		if (dir == m || strings.HasPrefix(dir, m+"/")) && len(m) >= len(best) {
			best = m
		}
	}
	return best
}

// line returns the line of pos.
func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }
