package frame

import "encoding/binary"

// Headers is a HEADERS frame: it opens a stream or ends it, and carries a
// field block or the first fragment of one. RFC 9113 §6.2.
type Headers struct {
	// Block is the fragment without padding and priority; it aliases the
	// frame's payload.
	Block []byte

	EndStream bool

	// EndHeaders is false if CONTINUATION frames follow.
	EndHeaders bool

	// SelfDependent is set if the frame asks that its stream depend on itself.
	// RFC 9113 §5.3.2 dropped the rule against it with the priorities, but
	// older peers and conformance suites hold on to it: the receiver resets
	// the stream with PROTOCOL_ERROR, after Block was decoded.
	SelfDependent bool
}

// priorityLen is the number of octets of Exclusive, Stream Dependency and
// Weight in HEADERS and PRIORITY. RFC 9113 §6.3.
const priorityLen = 5

// ParseHeaders parses the payload p of a HEADERS frame; the result aliases p.
// All its errors are connection errors: every field block has to pass the
// HPACK decoder, RFC 9113 §4.3, so a frame whose block is unknown cannot end
// just its stream.
func ParseHeaders(h Header, p []byte) (Headers, error) {
	if h.StreamID == 0 {
		return Headers{}, needStream(h)
	}
	fixed := 0
	if h.Flags.Has(FlagPriority) {
		fixed = priorityLen
	}
	h.Length = uint32(len(p))
	p, err := stripPadding(h, p, fixed)
	if err != nil {
		return Headers{}, err
	}
	return Headers{
		Block:         p[fixed:],
		EndStream:     h.Flags.Has(FlagEndStream),
		EndHeaders:    h.Flags.Has(FlagEndHeaders),
		SelfDependent: fixed != 0 && binary.BigEndian.Uint32(p)&MaxStreamID == h.StreamID,
	}, nil
}

// AppendHeaders appends a field block as a HEADERS frame and as many
// CONTINUATION frames as it takes if the peer accepts maxFrameSize octets in
// one. Less than MinMaxFrameSize, which no peer may ask for, counts as that.
// Nothing may come between these frames. RFC 9113 §4.3.
func AppendHeaders(dst []byte, streamID uint32, endStream bool, block []byte, maxFrameSize int) []byte {
	maxFrameSize = max(maxFrameSize, MinMaxFrameSize)
	var f Flags
	if endStream {
		f = FlagEndStream
	}
	for t := TypeHeaders; ; t = TypeContinuation {
		n := min(len(block), maxFrameSize)
		if n == len(block) {
			f |= FlagEndHeaders
		}
		dst = AppendHeader(dst, n, t, f, streamID)
		dst = append(dst, block[:n]...)
		if n == len(block) {
			return dst
		}
		block, f = block[n:], 0
	}
}
