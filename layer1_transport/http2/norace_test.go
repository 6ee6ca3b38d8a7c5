//go:build !race

package http2

// raceDetector says that figures of memory mean nothing.
const raceDetector = false
