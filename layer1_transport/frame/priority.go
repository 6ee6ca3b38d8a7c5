package frame

import "encoding/binary"

// Priority is a PRIORITY frame. RFC 9113 deprecates it: a receiver checks its
// form and ignores what it says, and we send none. RFC 9113 §5.3.2.
type Priority struct {
	StreamDependency uint32
	Exclusive        bool
	Weight           uint8 // one less than the weight it means
}

// ParsePriority parses the payload p of a PRIORITY frame. A wrong length and a
// stream that depends on itself are stream errors: RFC 9113 §6.3 and, for the
// latter, the reason given at Headers.
//
// The frame may name an idle or closed stream. There, RST_STREAM for it would
// itself break RFC 9113 §6.4.
func ParsePriority(h Header, p []byte) (Priority, error) {
	if h.StreamID == 0 {
		return Priority{}, needStream(h)
	}
	if len(p) != priorityLen {
		return Priority{}, streamError(h.StreamID, CodeFrameSize, "PRIORITY length is not 5")
	}
	v := binary.BigEndian.Uint32(p)
	dep := v & MaxStreamID
	if dep == h.StreamID {
		return Priority{}, streamError(h.StreamID, CodeProtocol, "PRIORITY makes a stream depend on itself")
	}
	return Priority{StreamDependency: dep, Exclusive: v != dep, Weight: p[4]}, nil
}
