package frame

// Ping is a PING frame: a question whether the peer is there, or the answer
// with the same data. RFC 9113 §6.7.
type Ping struct {
	Data [8]byte
	Ack  bool
}

// ParsePing parses the payload p of a PING frame. All its errors are
// connection errors.
func ParsePing(h Header, p []byte) (Ping, error) {
	if err := needConnection(h); err != nil {
		return Ping{}, err
	}
	if err := needLength(h, p, 8); err != nil {
		return Ping{}, err
	}
	return Ping{Data: [8]byte(p), Ack: h.Flags.Has(FlagAck)}, nil
}

// AppendPing appends a PING frame.
func AppendPing(dst []byte, ack bool, data [8]byte) []byte {
	var f Flags
	if ack {
		f = FlagAck
	}
	dst = AppendHeader(dst, len(data), TypePing, f, 0)
	return append(dst, data[:]...)
}
