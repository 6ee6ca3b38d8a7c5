//go:build unix

package input

import "syscall"

// canTry: there is a read that does not block.
const canTry = true

// readFD reads once from a non-blocking descriptor.
func readFD(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }
