package frame

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// HeaderLen is the number of octets before the payload. RFC 9113 §4.1.
const HeaderLen = 9

// ClientPreface is what a client sends before its first frame. RFC 9113 §3.4.
const ClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Bounds of RFC 9113 on what a header and its payload can say.
const (
	// MaxStreamID is the largest stream identifier. RFC 9113 §5.1.1.
	MaxStreamID = 1<<31 - 1

	// MaxWindow is the largest flow-control window. RFC 9113 §6.9.1.
	MaxWindow = 1<<31 - 1

	// DefaultWindow is the window before any SETTINGS or WINDOW_UPDATE.
	// RFC 9113 §6.9.2.
	DefaultWindow = 1<<16 - 1

	// MinMaxFrameSize is the payload that every peer accepts. RFC 9113 §4.2.
	MinMaxFrameSize = 1 << 14

	// MaxMaxFrameSize is the largest payload that a peer can ask for, and the
	// largest that a header can announce. RFC 9113 §4.2.
	MaxMaxFrameSize = 1<<24 - 1
)

// A Type says how a payload is laid out. RFC 9113 §6.
type Type uint8

// The frame types of RFC 9113 §6. Frames of any other type are ignored by
// whoever does not know them. RFC 9113 §4.1.
const (
	TypeData         Type = 0x0
	TypeHeaders      Type = 0x1
	TypePriority     Type = 0x2
	TypeRSTStream    Type = 0x3
	TypeSettings     Type = 0x4
	TypePushPromise  Type = 0x5
	TypePing         Type = 0x6
	TypeGoAway       Type = 0x7
	TypeWindowUpdate Type = 0x8
	TypeContinuation Type = 0x9
)

var typeNames = [...]string{
	"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS",
	"PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION",
}

// String returns the name that RFC 9113 §6 gives the type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "FRAME_TYPE_0x" + strconv.FormatUint(uint64(t), 16)
}

// Flags are eight booleans whose meaning depends on the type of the frame.
// Those without a meaning are ignored. RFC 9113 §4.1.
type Flags uint8

// The flags of RFC 9113 §6.
const (
	FlagEndStream  Flags = 0x01 // DATA, HEADERS
	FlagAck        Flags = 0x01 // SETTINGS, PING
	FlagEndHeaders Flags = 0x04 // HEADERS, PUSH_PROMISE, CONTINUATION
	FlagPadded     Flags = 0x08 // DATA, HEADERS, PUSH_PROMISE
	FlagPriority   Flags = 0x20 // HEADERS
)

// Has reports whether all flags in v are set.
func (f Flags) Has(v Flags) bool { return f&v == v }

// A Header is what every frame begins with. RFC 9113 §4.1.
//
// Invariant: Length <= MaxMaxFrameSize && StreamID <= MaxStreamID.
type Header struct {
	Length   uint32 // of the payload, so without the HeaderLen octets
	Type     Type
	Flags    Flags
	StreamID uint32 // 0 means the connection as a whole
}

// ParseHeader reads the header in the first HeaderLen octets of b, which must
// be there. The reserved bit is ignored, as RFC 9113 §4.1 asks.
func ParseHeader(b []byte) Header {
	_ = b[HeaderLen-1] // one bounds check in place of five
	return Header{
		Length:   uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:     Type(b[3]),
		Flags:    Flags(b[4]),
		StreamID: binary.BigEndian.Uint32(b[5:]) & MaxStreamID,
	}
}

// AppendHeader appends the header of a frame whose payload has length octets.
// 0 <= length <= MaxMaxFrameSize and streamID <= MaxStreamID.
func AppendHeader(dst []byte, length int, t Type, f Flags, streamID uint32) []byte {
	return append(dst,
		byte(length>>16), byte(length>>8), byte(length), byte(t), byte(f),
		byte(streamID>>24), byte(streamID>>16), byte(streamID>>8), byte(streamID))
}

// PutHeader writes what AppendHeader appends into b[:HeaderLen]. It completes
// a frame whose payload was encoded behind a gap left for the header.
func PutHeader(b []byte, length int, t Type, f Flags, streamID uint32) {
	_ = b[HeaderLen-1]
	AppendHeader(b[:0:HeaderLen], length, t, f, streamID)
}

// CheckLength returns a connection error for a frame longer than
// maxFrameSize, the SETTINGS_MAX_FRAME_SIZE that we announced. It needs no
// payload, so that none of an oversized frame is read. RFC 9113 §4.2 would
// let a stream error do for DATA, but then its payload had to be read.
func (h Header) CheckLength(maxFrameSize uint32) error {
	if h.Length <= maxFrameSize {
		return nil
	}
	return connError(CodeFrameSize, "%v length %d exceeds SETTINGS_MAX_FRAME_SIZE %d", h.Type, h.Length, maxFrameSize)
}

// String returns for example "HEADERS stream=1 len=40 END_STREAM|END_HEADERS".
func (h Header) String() string {
	s := fmt.Sprintf("%v stream=%d len=%d", h.Type, h.StreamID, h.Length)
	sep := " "
	for bit := Flags(1); bit != 0; bit <<= 1 {
		if h.Flags.Has(bit) {
			s += sep + flagName(h.Type, bit)
			sep = "|"
		}
	}
	return s
}

// flagName returns the name of one flag in frames of type t, or its value if
// it has no meaning there.
func flagName(t Type, bit Flags) string {
	hasBlock := t == TypeHeaders || t == TypePushPromise || t == TypeContinuation
	switch {
	case bit == FlagEndStream && (t == TypeData || t == TypeHeaders):
		return "END_STREAM"
	case bit == FlagAck && (t == TypeSettings || t == TypePing):
		return "ACK"
	case bit == FlagEndHeaders && hasBlock:
		return "END_HEADERS"
	case bit == FlagPadded && (t == TypeData || t == TypeHeaders || t == TypePushPromise):
		return "PADDED"
	case bit == FlagPriority && t == TypeHeaders:
		return "PRIORITY"
	default:
		return "0x" + strconv.FormatUint(uint64(bit), 16)
	}
}
