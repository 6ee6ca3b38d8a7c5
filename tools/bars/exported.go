package main

import "go/ast"

// checkExported asks for a comment at everything exported: functions, methods
// of exported types, types, constants, variables and the methods of interfaces.
func checkExported(t *tree) {
	for _, p := range t.packages {
		if p.name == "main" {
			continue
		}
		for _, f := range p.source() {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					checkExportedFunc(t, f, d)
				case *ast.GenDecl:
					checkExportedSpecs(t, f, d)
				}
			}
		}
	}
}

// checkExportedFunc looks at one function or method.
func checkExportedFunc(t *tree, f *file, d *ast.FuncDecl) {
	if d.Doc != nil || !d.Name.IsExported() {
		return
	}
	name := d.Name.Name
	if d.Recv != nil {
		recv := receiverName(d.Recv.List[0].Type)
		if !ast.IsExported(recv) {
			return
		}
		name = recv + "." + name
	}
	t.report(f, d.Pos(), "exported-doc", "%s has no comment", name)
}

// checkExportedSpecs looks at one declaration of types, constants or
// variables. The comment of a group counts for all in it.
func checkExportedSpecs(t *tree, f *file, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				t.report(f, spec.Pos(), "exported-doc", "%s has no comment", spec.Name.Name)
			}
			if it, ok := spec.Type.(*ast.InterfaceType); ok {
				checkInterface(t, f, spec.Name.Name, it)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					t.report(f, name.Pos(), "exported-doc", "%s has no comment", name.Name)
				}
			}
		}
	}
}

// checkInterface looks at the methods of an exported interface. A method that
// follows another without a blank line shares its comment, and the comment of
// an interface with one or two methods speaks for them.
func checkInterface(t *tree, f *file, typeName string, it *ast.InterfaceType) {
	if len(it.Methods.List) <= 2 {
		return
	}
	covered := 0 // the line up to which the last comment reaches
	for _, m := range it.Methods.List {
		switch {
		case m.Doc != nil || m.Comment != nil || t.line(m.Pos()) == covered+1:
			covered = t.line(m.End())
		case len(m.Names) == 1 && m.Names[0].IsExported():
			t.report(f, m.Pos(), "exported-doc", "%s.%s has no comment", typeName, m.Names[0].Name)
		}
	}
}

// receiverName returns the type of a receiver without pointer and parameters.
func receiverName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
