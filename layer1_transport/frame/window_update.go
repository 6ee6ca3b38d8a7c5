package frame

import "encoding/binary"

// WindowUpdate is a WINDOW_UPDATE frame: credit for more DATA, on a stream or
// on stream 0 for the connection. RFC 9113 §6.9.
type WindowUpdate struct {
	// Increment is within 1 and MaxWindow. Whether the window has room for it
	// is known to whoever keeps the window. RFC 9113 §6.9.1.
	Increment uint32
}

// ParseWindowUpdate parses the payload p of a WINDOW_UPDATE frame. A zero
// increment is a stream error on a stream, a connection error on stream 0; a
// wrong length is always a connection error. RFC 9113 §6.9.
func ParseWindowUpdate(h Header, p []byte) (WindowUpdate, error) {
	if err := needLength(h, p, 4); err != nil {
		return WindowUpdate{}, err
	}
	n := binary.BigEndian.Uint32(p) & MaxWindow
	if n == 0 {
		// With StreamID 0 this is a connection error, by the meaning of Error.
		return WindowUpdate{}, streamError(h.StreamID, CodeProtocol, "WINDOW_UPDATE increment is 0")
	}
	return WindowUpdate{Increment: n}, nil
}

// AppendWindowUpdate appends a WINDOW_UPDATE frame; 1 <= increment <= MaxWindow.
func AppendWindowUpdate(dst []byte, streamID, increment uint32) []byte {
	dst = AppendHeader(dst, 4, TypeWindowUpdate, 0, streamID)
	return binary.BigEndian.AppendUint32(dst, increment)
}
