//go:build !race

package main

const (
	// cpuAllowance is what bounds on CPU time are multiplied by.
	cpuAllowance = 1

	// noise is how much the memory of a process that is not attacked moves
	// between two looks at it: stacks that are kept, the other client's call.
	noise = 64 << 10
)
