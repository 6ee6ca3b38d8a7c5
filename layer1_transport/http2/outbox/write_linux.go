package outbox

import (
	"syscall"
	"unsafe"
)

// canTry: there is a write that does not block.
const canTry = true

// maxIovec is the most pieces that one writev takes, IOV_MAX of Linux.
const maxIovec = 1024

// writeFD writes b without its first skip bytes to a non-blocking descriptor.
func writeFD(fd uintptr, b *Batch, skip int) (int, error) {
	if small, ok := b.Plain(); ok {
		return syscall.Write(int(fd), small[skip:])
	}
	var iov [16]syscall.Iovec
	vecs := iov[:0]
	for _, p := range b.Buffers(skip) {
		if len(vecs) == maxIovec {
			break
		}
		v := syscall.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		vecs = append(vecs, v)
	}
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&vecs[0])), uintptr(len(vecs)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
