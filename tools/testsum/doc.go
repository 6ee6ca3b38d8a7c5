// Command testsum runs the tests of every module of the repository and counts them.
//
// It is what `make test` and `make fuzz` call. A package that passes prints
// one line, a test that fails prints its output, and the last line is
//
//	N passed, N failed
//
// alone, where N counts tests and subtests that have no subtests of their own,
// allocation tests and fuzz targets. A package that fails without a failing
// test (it does not build, or it ran out of time) counts as one failure.
//
// # Contract
//
//   - unit: all tests, shuffled, under the race detector where a C compiler
//     exists; where none does, one line says so.
//   - allocs: tests named TestAllocs…, without the race detector, which
//     allocates on its own.
//   - fuzz: each fuzz target for -fuzztime, two targets at a time with one worker each.
//   - Exit status 0 if and only if something passed and nothing failed.
//   - Not here: choosing tests. Use go test for that.
//
// # Goroutines
//
//	name          started by   ends when
//	fuzzTargets   fuzz         no target is left
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go, modules.go, stream.go, tally.go, fuzz.go.
package main
