package input

import (
	"sync"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

const (
	// LongFrame is the longest payload of a frame that is read once
	// Input.AllowLong was called. The longer the frames, the more of a long
	// message is read straight into its memory.
	LongFrame = 64 << 10

	// largeSize holds two frames of the usual length.
	largeSize = 2 * (frame.HeaderLen + frame.MinMaxFrameSize)

	// smallSize holds the frames of a small call.
	smallSize = 512

	// leastPart is how much of a DATA frame must be missing for it to come in
	// parts.
	leastPart = 4 << 10

	// behind is how much is read behind what goes straight into a message.
	behind = 4 << 10
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

// give takes back what takeSmall or takeLarge returned. Others it leaves to the
// garbage collector.
func give(b []byte) {
	switch len(b) {
	case smallSize:
		smallBuffers.Put((*[smallSize]byte)(b))
	case largeSize:
		largeBuffers.Put((*[largeSize]byte)(b))
	}
}
