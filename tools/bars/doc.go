// Command bars checks what this repository asks of its own source.
//
// Each rule prints file:line, its name and the bar that was missed; below
// stand the figures of the whole tree. The second job, api, compares what the
// stable packages export with the listings in api/.
//
//	bars [-root dir] check
//	bars [-root dir] [-w] api
//
// # Contract
//
//   - Standard library only, and no type information of other packages: it
//     works on a tree that does not build.
//   - Generated files ("Code generated … DO NOT EDIT.") and folders that Go
//     ignores are not looked at.
//   - A finding is switched off where it stands, with a reason:
//     //bars:allow rule reason. It stands in the line, in the comment above
//     the line, or, for a rule about a file, above the package clause. One
//     without a reason, or that switches nothing off, is a finding itself.
//   - Not here: formatting and mistakes (gofmt, vet, staticcheck), and which
//     package imports which (tests/layers_test.go).
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go, tree.go, finding.go, sizes.go, docs.go, exported.go, names.go,
// comments.go, citations.go, goroutines.go, sleep.go, share.go, api.go.
package main
