package frame

import "encoding/binary"

// PushPromise is a PUSH_PROMISE frame: a server announces a stream. gRPC has
// no use for it, so we send none and forbid them with SETTINGS_ENABLE_PUSH=0.
// RFC 9113 §6.6.
type PushPromise struct {
	PromisedStreamID uint32

	// Block is the fragment without padding; it aliases the frame's payload.
	Block []byte

	// EndHeaders is false if CONTINUATION frames follow.
	EndHeaders bool
}

// ParsePushPromise parses the payload p of a PUSH_PROMISE frame; the result
// aliases p. All its errors are connection errors, for the reason given at
// ParseHeaders.
func ParsePushPromise(h Header, p []byte) (PushPromise, error) {
	if h.StreamID == 0 {
		return PushPromise{}, needStream(h)
	}
	h.Length = uint32(len(p))
	p, err := stripPadding(h, p, 4)
	if err != nil {
		return PushPromise{}, err
	}
	id := binary.BigEndian.Uint32(p) & MaxStreamID
	if id == 0 || id%2 != 0 { // streams of a server are even, RFC 9113 §5.1.1
		return PushPromise{}, connError(CodeProtocol, "PUSH_PROMISE promises stream %d, which no server can open", id)
	}
	return PushPromise{
		PromisedStreamID: id,
		Block:            p[4:],
		EndHeaders:       h.Flags.Has(FlagEndHeaders),
	}, nil
}
