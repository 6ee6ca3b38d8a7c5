package main

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// vagueNames say nothing about what is in a file or package.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "stuff", "shared", "base"}

// checkFileNames refuses files and packages with a vague name: one concept a
// file, named by the word the specification uses.
func checkFileNames(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.written() {
			name := strings.TrimSuffix(strings.TrimSuffix(f.base(), ".go"), "_test")
			if slices.Contains(vagueNames, name) {
				t.reportFile(f, "file-name", "%s does not say what is in it", f.base())
			}
		}
		if files := p.written(); len(files) > 0 && slices.Contains(vagueNames, path.Base(p.dir)) {
			t.reportFile(files[0], "file-name", "the folder name %s does not say what is in it", path.Base(p.dir))
		}
	}
}

// checkImportNames pins the name under which a package of this repository is
// imported: its own, written out where the folder is called otherwise.
func checkImportNames(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.written() {
			for _, spec := range f.ast.Imports {
				checkImportName(t, f, spec)
			}
		}
	}
}

// checkImportName looks at one import.
func checkImportName(t *tree, f *file, spec *ast.ImportSpec) {
	imp, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return
	}
	dir := "."
	if imp != modulePath {
		rest, ok := strings.CutPrefix(imp, modulePath+"/")
		if !ok {
			return
		}
		dir = rest
	}
	target := t.byDir[dir]
	if target == nil {
		return // the compiler will say so
	}
	switch {
	case spec.Name == nil && path.Base(imp) != target.name:
		t.report(f, spec.Pos(), "import-name", "write the name: import %s %q", target.name, imp)
	case spec.Name != nil && spec.Name.Name != target.name && spec.Name.Name != "_":
		t.report(f, spec.Pos(), "import-name", "%q is imported as %s, not as %s", imp, target.name, spec.Name.Name)
	}
}

// stateTypes must not stand in a package variable of the library: a test in a
// synctest bubble may not touch what a goroutine outside it uses.
var stateTypes = []string{"sync.WaitGroup", "sync.Cond", "time.Timer", "time.Ticker"}

// stateMakers return such values.
var stateMakers = []string{"sync.NewCond", "time.NewTimer", "time.NewTicker", "time.AfterFunc", "time.After", "time.Tick"}

// checkPackageState refuses, in the library, init functions (nothing is
// registered by being imported) and package variables that hold a channel,
// timer, WaitGroup or Cond.
func checkPackageState(t *tree) {
	for _, p := range t.packages {
		if !p.inLibrary() {
			continue
		}
		for _, f := range p.source() {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil && d.Name.Name == "init" {
						t.report(f, d.Pos(), "package-state", "init: hand the value to a channel or server instead")
					}
				case *ast.GenDecl:
					if d.Tok == token.VAR {
						checkVars(t, f, d)
					}
				}
			}
		}
	}
}

// checkVars looks at one declaration of package variables.
func checkVars(t *tree, f *file, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		vs, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		held := heldState(vs.Type)
		for _, v := range vs.Values {
			if held == "" {
				held = heldState(v)
			}
		}
		if held != "" {
			t.report(f, vs.Pos(), "package-state", "package variable %s holds a %s", vs.Names[0].Name, held)
		}
	}
}

// heldState returns the first channel, timer, WaitGroup or Cond that a type
// or value names, or "". Function literals are not looked into: they make
// their values when they are called.
func heldState(expr ast.Expr) string {
	if expr == nil {
		return ""
	}
	held := ""
	ast.Inspect(expr, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.FuncType:
			return false
		case *ast.ChanType:
			held = "channel"
		case *ast.SelectorExpr:
			name := selectorName(n)
			if slices.Contains(stateTypes, name) || slices.Contains(stateMakers, name) {
				held = name
			}
		}
		return held == ""
	})
	return held
}

// selectorName returns "x.y" for a selector on an identifier, else "".
func selectorName(sel *ast.SelectorExpr) string {
	if x, ok := sel.X.(*ast.Ident); ok {
		return x.Name + "." + sel.Sel.Name
	}
	return ""
}
