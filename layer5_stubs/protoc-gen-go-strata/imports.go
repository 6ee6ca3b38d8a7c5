package main

import (
	"path"

	"google.golang.org/protobuf/compiler/protogen"
)

// stubsPath is the one package of the library that generated code imports.
const stubsPath protogen.GoImportPath = "github.com/strata-grpc/strata/layer5_stubs"

// locals are the names that generated function bodies declare. A message
// package of one of these names would be shadowed where it is needed.
var locals = map[string]bool{
	"c": true, "cc": true, "ctx": true, "dec": true, "err": true, "handler": true,
	"in": true, "info": true, "interceptor": true, "ok": true, "opts": true, "out": true,
	"req": true, "s": true, "srv": true, "stream": true, "t": true, "x": true,
}

// imports decides under which names generated files import packages. protogen
// names an import after the last element of its path. Where that is not the
// wanted name, imports hands protogen a placeholder path that ends in it, and
// rewrite puts the true path back when protogen prints the import.
type imports struct {
	truePath map[protogen.GoImportPath]protogen.GoImportPath // by placeholder
}

// newImports returns the imports of one request.
func newImports() *imports {
	return &imports{truePath: map[protogen.GoImportPath]protogen.GoImportPath{
		stubsPath + "/stubs": stubsPath, // directory layer5_stubs, package stubs
	}}
}

// rewrite is protogen's ImportRewriteFunc.
func (i *imports) rewrite(p protogen.GoImportPath) protogen.GoImportPath {
	if truePath, ok := i.truePath[p]; ok {
		return truePath
	}
	return p
}

// stubs returns the identifier name of package stubs.
func (i *imports) stubs(name string) protogen.GoIdent {
	return protogen.GoIdent{GoName: name, GoImportPath: stubsPath + "/stubs"}
}

// message returns the Go type of m, so that its package's name differs from
// every local variable of the generated code.
func (i *imports) message(m *protogen.Message) protogen.GoIdent {
	id := m.GoIdent
	base := path.Base(string(id.GoImportPath))
	if !locals[base] {
		return id
	}
	placeholder := id.GoImportPath + protogen.GoImportPath("/"+base+"pb")
	i.truePath[placeholder] = id.GoImportPath
	id.GoImportPath = placeholder
	return id
}
