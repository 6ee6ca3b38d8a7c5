package frame

import "encoding/binary"

// GoAway is a GOAWAY frame: its sender takes no more streams. RFC 9113 §6.8.
type GoAway struct {
	// LastStreamID is the highest stream of ours that the sender may have
	// acted on. Those above it were not processed and can be tried again.
	LastStreamID uint32

	Code ErrCode

	// Debug is for humans; it aliases the frame's payload.
	Debug []byte
}

// goAwayLen is the number of octets before the debug data. RFC 9113 §6.8.
const goAwayLen = 8

// MaxGoAwayDebug is the most debug data that fits a frame every peer accepts.
const MaxGoAwayDebug = MinMaxFrameSize - goAwayLen

// ParseGoAway parses the payload p of a GOAWAY frame; the result aliases p.
// All its errors are connection errors.
func ParseGoAway(h Header, p []byte) (GoAway, error) {
	if err := needConnection(h); err != nil {
		return GoAway{}, err
	}
	if len(p) < goAwayLen {
		return GoAway{}, connError(CodeFrameSize, "GOAWAY length %d is less than 8", len(p))
	}
	return GoAway{
		LastStreamID: binary.BigEndian.Uint32(p) & MaxStreamID,
		Code:         ErrCode(binary.BigEndian.Uint32(p[4:])),
		Debug:        p[goAwayLen:],
	}, nil
}

// AppendGoAway appends a GOAWAY frame. What is longer than MaxGoAwayDebug is
// cut off debug.
func AppendGoAway(dst []byte, lastStreamID uint32, code ErrCode, debug string) []byte {
	debug = debug[:min(len(debug), MaxGoAwayDebug)]
	dst = AppendHeader(dst, goAwayLen+len(debug), TypeGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, lastStreamID)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, debug...)
}
