package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/printer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// apiFolder holds the listings, one file a package.
const apiFolder = "api"

// stablePackages are the packages that keep what they export: what generated
// code and its users name. The layers below are experimental.
var stablePackages = []struct{ dir, listing string }{
	{".", "strata.txt"},
	{"layer5_stubs", "stubs.txt"},
	{"layer1_transport/status", "status.txt"},
	{"layer1_transport/metadata", "metadata.txt"},
	{"layer1_transport/credentials", "credentials.txt"},
}

// checkAPI compares the stable packages with their listings, or rewrites the
// listings. A change of a listing is a change of what users compile against,
// so that a reviewer sees it in the diff.
func checkAPI(w io.Writer, t *tree, write bool) (bool, error) {
	ok := true
	for _, stable := range stablePackages {
		name := filepath.Join(t.root, apiFolder, stable.listing)
		old, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
		p := t.byDir[stable.dir]
		if p == nil && len(old) == 0 {
			fmt.Fprintf(w, "api: %s does not exist, nor does its listing\n", stable.dir)
			continue
		}
		var text string
		if p != nil {
			text = strings.Join(exports(t, p), "\n") + "\n"
		}
		if write {
			if err := writeListing(name, text); err != nil {
				return false, err
			}
			continue
		}
		if len(old) == 0 {
			fmt.Fprintf(w, "api: %s has no listing %s/%s\n", stable.dir, apiFolder, stable.listing)
			ok = false
			continue
		}
		changes := compareLines(string(old), text)
		for _, line := range changes {
			fmt.Fprintf(w, "%s: %s\n", filepath.ToSlash(filepath.Join(apiFolder, stable.listing)), line)
		}
		ok = ok && len(changes) == 0
	}
	if !ok {
		fmt.Fprintln(w, "api: the listings differ; run make api and review the diff")
	}
	return ok, nil
}

// writeListing writes a listing; an empty one is removed.
func writeListing(name, text string) error {
	if text == "" {
		return os.Remove(name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// compareLines returns the lines of which only one of the texts has some,
// marked "-" for old and "+" for new.
func compareLines(old, new string) []string {
	before, after := strings.Split(old, "\n"), strings.Split(new, "\n")
	var diff []string
	for _, line := range before {
		if line != "" && !slices.Contains(after, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range after {
		if line != "" && !slices.Contains(before, line) {
			diff = append(diff, "+ "+line)
		}
	}
	return diff
}

// exports returns what a package exports, one line each, sorted.
func exports(t *tree, p *pkg) []string {
	values := constants(t, p)
	var lines []string
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				lines = append(lines, funcLine(t, d)...)
			case *ast.GenDecl:
				lines = append(lines, specLines(t, d, values)...)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// funcLine lists a function, or a method of an exported type.
func funcLine(t *tree, d *ast.FuncDecl) []string {
	if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiverName(d.Recv.List[0].Type)) {
		return nil
	}
	head := *d
	head.Doc, head.Body = nil, nil
	return []string{text(t, &head)}
}

// specLines lists types, constants and variables.
func specLines(t *tree, d *ast.GenDecl, values map[string]string) []string {
	var lines []string
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				lines = append(lines, typeLines(t, spec)...)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if !name.IsExported() {
					continue
				}
				line := d.Tok.String() + " " + name.Name
				if known, ok := values[name.Name]; ok {
					line += " " + known
				} else if spec.Type != nil {
					line += " " + text(t, spec.Type)
				}
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// typeLines lists a type, and each exported field or method of it.
func typeLines(t *tree, spec *ast.TypeSpec) []string {
	head := "type " + spec.Name.Name
	if spec.TypeParams != nil {
		params := []string{}
		for _, field := range spec.TypeParams.List {
			for _, name := range field.Names {
				params = append(params, name.Name+" "+text(t, field.Type))
			}
		}
		head += "[" + strings.Join(params, ", ") + "]"
	}
	var members *ast.FieldList
	kind := ""
	switch u := spec.Type.(type) {
	case *ast.StructType:
		members, kind = u.Fields, "struct"
	case *ast.InterfaceType:
		members, kind = u.Methods, "interface"
	}
	if members == nil || spec.Assign.IsValid() {
		eq := " "
		if spec.Assign.IsValid() {
			eq = " = "
		}
		return []string{head + eq + text(t, spec.Type)}
	}
	head += " " + kind
	return append([]string{head}, memberLines(t, head, members)...)
}

// memberLines lists the exported members of a struct or interface. One
// unexported method of an interface is listed: it keeps others from
// implementing it.
func memberLines(t *tree, head string, members *ast.FieldList) []string {
	var lines []string
	for _, field := range members.List {
		typ := text(t, field.Type)
		if _, isFunc := field.Type.(*ast.FuncType); isFunc && strings.HasSuffix(head, " interface") {
			typ = strings.TrimPrefix(typ, "func")
		} else if len(field.Names) > 0 {
			typ = " " + typ
		}
		if len(field.Names) == 0 {
			lines = append(lines, head+", embeds "+typ)
		}
		for _, name := range field.Names {
			switch {
			case name.IsExported():
				lines = append(lines, head+", "+name.Name+typ)
			case strings.HasSuffix(head, " interface"):
				lines = append(lines, head+", sealed by an unexported method")
			}
		}
	}
	return lines
}

// text prints a node in one line, however many it has in the source.
func text(t *tree, n any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, t.fset, n); err != nil {
		return err.Error()
	}
	line := strings.Join(strings.Fields(b.String()), " ")
	return strings.NewReplacer("( ", "(", ", )", ")").Replace(line)
}

// noImports is an importer that finds nothing: the constants of a package
// seldom need those of another, and the tree need not build.
type noImports struct{}

// Import reports that there is no such package.
func (noImports) Import(path string) (*types.Package, error) {
	return nil, errors.New("not imported: " + path)
}

// constants returns type and value of the package's exported constants, as
// far as they can be computed without its imports.
func constants(t *tree, p *pkg) map[string]string {
	var files []*ast.File
	for _, f := range p.files {
		if !f.test {
			files = append(files, f.ast)
		}
	}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}, IgnoreFuncBodies: true}
	checked, _ := conf.Check(p.dir, t.fset, files, nil) // errors are expected: nothing is imported
	values := map[string]string{}
	if checked == nil {
		return values
	}
	for _, name := range checked.Scope().Names() {
		c, ok := checked.Scope().Lookup(name).(*types.Const)
		if !ok || !token.IsExported(name) || c.Val().Kind() == constant.Unknown {
			continue
		}
		values[name] = types.TypeString(c.Type(), types.RelativeTo(checked)) + " = " + c.Val().ExactString()
	}
	return values
}
