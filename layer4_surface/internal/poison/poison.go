// Package poison has the values that a released call block is filled with, so
// that a late use panics or is found.
//
// Blocks are used again, and the next call in a block would hide that somebody
// still works on the last one. In a program built with the tag strata_poison
// they are filled when they go back to their pool, and looked at when they
// leave it:
//
//	go test -race -tags strata_poison ./layer4_surface
//
// # Contract
//
//   - On is a constant: without the tag nothing of this is in the program.
//   - Whoever fills memory checks that it is as it was before it is used again.
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
// poison.go, on.go, off.go.
package poison

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// Text stands where a name was, and Tag where a tag was.
const Text = "strata: memory of a call that was released"

// Steps stands where a batch counted its steps. One step more or less shows.
const Steps = -1 << 30

// Ops stands where a batch said what it wants.
const Ops transport.OpSet = 0xff

// Done is a callback that must not run.
type Done struct{ _ byte }

// Dead stands where a callback was, Owner where the owner of a stream was.
var (
	Dead  transport.Done  = new(Done)
	Owner transport.Owner = new(Done)
)

// Run panics: the operation ended after its memory was given back.
func (*Done) Run(err error) {
	panic(fmt.Sprintf("surface: a callback of a batch that was released ran, with error %v", err))
}

// Ref panics: somebody refers to a block that was released.
func (*Done) Ref() { panic("surface: a reference to a call that was released") }

// Unref panics likewise.
func (*Done) Unref() { panic("surface: a reference to a call that was released is given back") }

// Check panics unless what is as it was filled.
func Check(what string, intact bool) {
	if !intact {
		panic("surface: " + what + " was written to after it was released")
	}
}
