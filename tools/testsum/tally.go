package main

import "fmt"

// A tally counts the tests of all phases.
type tally struct {
	passed, failed int
}

// ok reports whether the run is a success. A run that tested nothing is none.
func (t *tally) ok() bool { return t.failed == 0 && t.passed > 0 }

// String returns the closing line.
func (t *tally) String() string {
	return fmt.Sprintf("%d passed, %d failed", t.passed, t.failed)
}

// failPackage counts a failure that belongs to no test and prints why.
func (t *tally) failPackage(name, why string) {
	t.failed++
	fmt.Printf("FAIL\t%s\n%s", name, why)
}
