//go:build race

package main

// Under the race detector some bounds would measure the race detector: those on
// CPU time are multiplied, those on memory get what its bookkeeping moves.
const (
	cpuAllowance = 20
	noise        = 256 << 10
)
