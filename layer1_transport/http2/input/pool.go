package input

import (
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

const (
	// largeSize holds two of the longest frames that we accept.
	largeSize = 2 * (frame.HeaderLen + frame.MinMaxFrameSize)

	// smallSize holds the frames of a small call.
	smallSize = 512
)

// The pools hold plain memory, so they may be shared by everything.
var smallBuffers, largeBuffers sync.Pool

func takeSmall() []byte {
	if b, _ := smallBuffers.Get().(*[smallSize]byte); b != nil {
		return b[:]
	}
	return make([]byte, smallSize)
}

func takeLarge() []byte {
	if b, _ := largeBuffers.Get().(*[largeSize]byte); b != nil {
		return b[:]
	}
	return make([]byte, largeSize)
}

// give takes back what takeSmall or takeLarge returned, or nil.
func give(b []byte) {
	switch len(b) {
	case smallSize:
		smallBuffers.Put((*[smallSize]byte)(b))
	case largeSize:
		largeBuffers.Put((*[largeSize]byte)(b))
	}
}
