package frame

// Continuation is a CONTINUATION frame: the next fragment of the field block
// that the HEADERS or PUSH_PROMISE frame before it began. RFC 9113 §6.10.
type Continuation struct {
	// Block aliases the frame's payload. It may be empty, and a peer may send
	// any number of those: whoever assembles a block counts frames, not only
	// octets.
	Block []byte

	// EndHeaders is false if more CONTINUATION frames follow.
	EndHeaders bool
}

// ParseContinuation parses the payload p of a CONTINUATION frame; the result
// aliases p. All its errors are connection errors.
func ParseContinuation(h Header, p []byte) (Continuation, error) {
	if h.StreamID == 0 {
		return Continuation{}, needStream(h)
	}
	return Continuation{Block: p, EndHeaders: h.Flags.Has(FlagEndHeaders)}, nil
}
