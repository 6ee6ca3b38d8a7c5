//go:build !linux

package input

// readFD2 reads once from a non-blocking descriptor, into a only.
func readFD2(fd uintptr, a, _ []byte) (int, error) { return readFD(fd, a) }
