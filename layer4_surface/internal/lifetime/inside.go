package lifetime

import (
	"runtime"
	"strings"
)

// maxDepth is how many frames of a stack Inside looks at.
const maxDepth = 128

// Inside reports whether the calling goroutine is inside one of functions,
// "package.(*Type).Method" without the path of the package. It costs
// microseconds and is for what happens once in a life.
func Inside(functions ...string) bool {
	var pcs [maxDepth]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		name := frame.Function[strings.LastIndexByte(frame.Function, '/')+1:]
		for _, f := range functions {
			if name == f {
				return true
			}
		}
		if !more {
			return false
		}
	}
}
