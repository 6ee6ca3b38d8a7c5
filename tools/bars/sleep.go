package main

import (
	"go/ast"
	"strings"
)

// sleepsAllowedIn is the module whose tests may wait in real time.
const sleepsAllowedIn = "tests"

// checkSleep refuses time.Sleep in a test outside a synctest bubble, where
// time is fake: a test that sleeps is slow, or fails on a busy machine, or both.
func checkSleep(t *tree) {
	for _, p := range t.packages {
		if p.module == sleepsAllowedIn {
			continue
		}
		s := newSleepScan(p)
		s.settle()
		for _, call := range s.sleeps {
			if !call.bubble && !s.inBubble[call.in] {
				t.report(call.file, call.call.Pos(), "sleep", "time.Sleep outside a synctest bubble")
			}
		}
	}
}

// A sleepScan finds out which functions of a package's tests run only inside
// synctest bubbles. It goes by names, so a method counts by its name alone.
type sleepScan struct {
	wrappers map[string]bool // functions that call synctest.Test themselves
	inBubble map[string]bool
	sleeps   []sleepCall
	uses     []use
}

// A sleepCall is one call of time.Sleep.
type sleepCall struct {
	file   *file
	call   *ast.CallExpr
	in     string // the function around it
	bubble bool   // lies in a function literal that runs in a bubble
}

// A use is a mention of a function of the tests.
type use struct {
	name, in string
	called   bool // mentioned by calling it
	bubble   bool
}

// newSleepScan collects the sleeps and uses in the tests of a package.
func newSleepScan(p *pkg) *sleepScan {
	s := &sleepScan{wrappers: map[string]bool{}, inBubble: map[string]bool{}}
	var funcs []*ast.FuncDecl
	files := map[*ast.FuncDecl]*file{}
	for _, f := range p.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Body != nil {
				funcs = append(funcs, fn)
				files[fn] = f
			}
		}
	}
	for _, fn := range funcs {
		name := fn.Name.Name
		s.inBubble[name] = !isEntry(name)
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && calls(call, "synctest.Test") {
				s.wrappers[name] = true
			}
			return true
		})
	}
	for _, fn := range funcs {
		s.walk(files[fn], fn.Name.Name, fn.Body, false)
	}
	return s
}

// isEntry reports whether the testing package calls the function itself.
func isEntry(name string) bool {
	for _, prefix := range []string{"Test", "Benchmark", "Fuzz", "Example"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// walk records what lies below n, of which bubble says whether it runs in one.
func (s *sleepScan) walk(f *file, in string, n ast.Node, bubble bool) {
	callees := map[*ast.Ident]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if _, ok := s.inBubble[n.Name]; ok {
				s.uses = append(s.uses, use{n.Name, in, callees[n], bubble})
			}
		case *ast.CallExpr:
			switch fun := n.Fun.(type) {
			case *ast.Ident:
				callees[fun] = true
			case *ast.SelectorExpr:
				callees[fun.Sel] = true
			}
			if calls(n, "time.Sleep") {
				s.sleeps = append(s.sleeps, sleepCall{f, n, in, bubble})
			}
			if !bubble && (calls(n, "synctest.Test") || s.wrappers[functionName(n.Fun)]) {
				s.walk(f, in, n.Fun, bubble)
				for _, arg := range n.Args {
					s.walk(f, in, arg, true)
				}
				return false
			}
		}
		return true
	})
}

// settle starts from the belief that every helper runs in bubbles only, and
// drops those that are used outside, or not at all, until nothing changes. A
// function that opens a bubble may name helpers without calling them, in a
// table for instance, to run them in it.
func (s *sleepScan) settle() {
	used := map[string]bool{}
	for _, u := range s.uses {
		used[u.name] = true
	}
	for name := range s.inBubble {
		s.inBubble[name] = s.inBubble[name] && used[name]
	}
	for changed := true; changed; {
		changed = false
		for _, u := range s.uses {
			inside := u.bubble || s.inBubble[u.in] || s.wrappers[u.in] && !u.called
			if s.inBubble[u.name] && !inside {
				s.inBubble[u.name] = false
				changed = true
			}
		}
	}
}

// calls reports whether call is of the named function of a package.
func calls(call *ast.CallExpr, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && selectorName(sel) == name
}
