// Command quote lists the declarations of the repository for the site, so that a page
// names code by package and symbol and never by line.
//
//	quote -root . -o site/data/quotes.json
//
// The file is one JSON object: package directory, such as
// "layer1_transport/http2", to symbol, to where it is and its text. A symbol is
//
//	Name             a type, function, variable or constant
//	(*T).Method      a method, (T).Method with a value receiver
//	package          the package's doc comment, without its markers
//	T.Field          a field of a struct with its comment, or a method of an interface
//
// Tests are declarations like all others, so that an invariant can be linked to
// the test that checks it. A group, such as const (…), is listed under each of
// its names as a whole.
//
// Testdata and folders that begin with a dot or are generated output are left
// out. A file that cannot be parsed is an error with its place, and then
// nothing is written.
package main
