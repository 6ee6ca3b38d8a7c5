package frame

import "encoding/binary"

// RSTStream is an RST_STREAM frame: its stream ends at once. RFC 9113 §6.4.
type RSTStream struct {
	Code ErrCode
}

// ParseRSTStream parses the payload p of an RST_STREAM frame. All its errors
// are connection errors.
func ParseRSTStream(h Header, p []byte) (RSTStream, error) {
	if h.StreamID == 0 {
		return RSTStream{}, needStream(h)
	}
	if err := needLength(h, p, 4); err != nil {
		return RSTStream{}, err
	}
	return RSTStream{Code: ErrCode(binary.BigEndian.Uint32(p))}, nil
}

// AppendRSTStream appends an RST_STREAM frame.
func AppendRSTStream(dst []byte, streamID uint32, code ErrCode) []byte {
	dst = AppendHeader(dst, 4, TypeRSTStream, 0, streamID)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}
