// Package pkg is for the test.
package pkg

import "fmt"

// A T has fields.
type T[K comparable] struct {
	// A is first.
	A int

	b, c string // two
}

// Do does.
func (t *T[K]) Do() {
	fmt.Println(t)
}

func (t T[K]) String() string { return "" }

// An I is asked.
type I interface {
	// Ask asks.
	Ask(n int) error
}

// Group.
const (
	One = 1
	Two = 2
)

type (
	// In a group.
	G int
	H string
)

func plain() {}
