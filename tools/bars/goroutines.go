package main

import (
	"go/ast"
	"strings"
)

// checkGoroutines looks at every goroutine that the library starts: it runs a
// named function or method, and the section Goroutines of the package's
// comment says who starts it and what ends it. Test kits, packages named
// …test, are left out as tests are.
func checkGoroutines(t *tree) {
	for _, p := range t.packages {
		if !p.inLibrary() || strings.HasSuffix(p.name, "test") {
			continue
		}
		listed := section(p.doc(), "Goroutines")
		for _, f := range p.source() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				started := startedBy(n)
				if started == nil {
					return true
				}
				name := functionName(started)
				switch {
				case name == "":
					t.report(f, n.Pos(), "goroutine", "a goroutine runs a named method, which the package comment lists")
				case !lists(listed, name):
					t.report(f, n.Pos(), "goroutine", "%s is not under \"# Goroutines\" in the comment of package %s", name, p.name)
				}
				return true
			})
		}
	}
}

// lists reports whether a line of the section begins with the name, which may
// stand behind that of its type.
func lists(section, name string) bool {
	for line := range strings.Lines(section) {
		words := strings.Fields(strings.TrimLeft(line, "\t -"))
		if len(words) == 0 {
			continue
		}
		for first := range strings.SplitSeq(strings.TrimRight(words[0], ":,"), ",") {
			if first[strings.LastIndexByte(first, '.')+1:] == name {
				return true
			}
		}
	}
	return false
}

// startedBy returns the function that n runs in a goroutine of its own: the
// callee of a go statement, or the argument of a WaitGroup's Go.
func startedBy(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call.Fun
	case *ast.CallExpr:
		sel, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Go" || len(n.Args) != 1 {
			return nil
		}
		switch arg := n.Args[0].(type) {
		case *ast.FuncLit, *ast.SelectorExpr, *ast.Ident:
			return arg
		}
	}
	return nil
}

// functionName returns the name of a function or method, "" for a literal.
func functionName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.IndexExpr:
		return functionName(e.X)
	case *ast.ParenExpr:
		return functionName(e.X)
	}
	return ""
}
