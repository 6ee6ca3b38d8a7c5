package frame

// Data is a DATA frame: octets of a stream. RFC 9113 §6.1.
type Data struct {
	// Payload is the data without padding; it aliases the frame's payload.
	Payload []byte

	// Padding counts the octets around Payload, the Pad Length field
	// included. They count against the windows too. RFC 9113 §6.9.1.
	Padding int

	EndStream bool
}

// A DataLayout is where the data lies in the payload of a DATA frame: after
// Before octets come Data octets of data and then After octets of padding.
//
// Invariant: Before + Data + After == Header.Length.
type DataLayout struct {
	Before, Data, After int
}

// LayoutData returns the layout of a DATA frame whose payload is still on its
// way, so that the data can be read to where it is needed. first is the first
// octet of the payload; it matters only if h has FlagPadded and a payload.
func LayoutData(h Header, first byte) (DataLayout, error) {
	if h.StreamID == 0 {
		return DataLayout{}, needStream(h)
	}
	if !h.Flags.Has(FlagPadded) {
		return DataLayout{Data: int(h.Length)}, nil
	}
	if h.Length == 0 {
		return DataLayout{}, errNoPadLength(h)
	}
	if uint32(first) >= h.Length {
		return DataLayout{}, errPadding(h, first)
	}
	return DataLayout{Before: 1, Data: int(h.Length) - 1 - int(first), After: int(first)}, nil
}

// ParseData parses the payload p of a DATA frame; the result aliases p. All
// its errors are connection errors.
func ParseData(h Header, p []byte) (Data, error) {
	h.Length = uint32(len(p))
	var first byte
	if len(p) > 0 {
		first = p[0]
	}
	l, err := LayoutData(h, first)
	if err != nil {
		return Data{}, err
	}
	return Data{
		Payload:   p[l.Before : l.Before+l.Data],
		Padding:   l.Before + l.After,
		EndStream: h.Flags.Has(FlagEndStream),
	}, nil
}

// AppendDataHeader appends the header of a DATA frame without padding; length
// octets of data must follow.
func AppendDataHeader(dst []byte, streamID uint32, endStream bool, length int) []byte {
	var f Flags
	if endStream {
		f = FlagEndStream
	}
	return AppendHeader(dst, length, TypeData, f, streamID)
}

// stripPadding removes the Pad Length field and the padding from the payload
// of a frame that carries a field block. fixed is the number of octets that
// stand between the two in every such frame. RFC 9113 §6.2, RFC 9113 §6.6.
func stripPadding(h Header, p []byte, fixed int) ([]byte, error) {
	padded := 0
	var pad byte
	if h.Flags.Has(FlagPadded) {
		if len(p) == 0 {
			return nil, errNoPadLength(h)
		}
		padded, pad = 1, p[0]
	}
	rest := len(p) - padded - fixed
	if rest < 0 {
		return nil, connError(CodeFrameSize, "%v length %d is too short for its fields", h.Type, len(p))
	}
	if int(pad) > rest {
		return nil, errPadding(h, pad)
	}
	return p[padded : len(p)-int(pad)], nil
}

// errNoPadLength is a frame that has the PADDED flag but no octet for Pad
// Length. RFC 9113 §4.2: it is too small for its mandatory fields.
func errNoPadLength(h Header) error {
	return connError(CodeFrameSize, "%v has the PADDED flag and no Pad Length", h.Type)
}

// errPadding is padding that leaves less than nothing for the content. It
// ends the connection also on HEADERS: its block cannot be found, so the HPACK
// state of the connection is lost. RFC 9113 §4.3, RFC 9113 §6.1.
func errPadding(h Header, pad byte) error {
	return connError(CodeProtocol, "%v padding %d exceeds its payload of %d", h.Type, pad, h.Length)
}
