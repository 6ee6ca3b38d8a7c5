package frame

import (
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An ErrCode says in RST_STREAM and GOAWAY why a stream or connection ended.
// RFC 9113 §7. Package status owns the type, because it maps the codes to
// what the application sees; unknown codes are kept as they came.
type ErrCode = status.HTTP2Code

// The codes of RFC 9113 §7.
const (
	CodeNoError            = status.HTTP2NoError
	CodeProtocol           = status.HTTP2ProtocolError
	CodeInternal           = status.HTTP2InternalError
	CodeFlowControl        = status.HTTP2FlowControlError
	CodeSettingsTimeout    = status.HTTP2SettingsTimeout
	CodeStreamClosed       = status.HTTP2StreamClosed
	CodeFrameSize          = status.HTTP2FrameSizeError
	CodeRefusedStream      = status.HTTP2RefusedStream
	CodeCancel             = status.HTTP2Cancel
	CodeCompression        = status.HTTP2CompressionError
	CodeConnect            = status.HTTP2ConnectError
	CodeEnhanceYourCalm    = status.HTTP2EnhanceYourCalm
	CodeInadequateSecurity = status.HTTP2InadequateSecurity
	CodeHTTP11Required     = status.HTTP2HTTP11Required
)

// An Error is a rule of RFC 9113 that a frame breaks, and what has to end.
type Error struct {
	Code ErrCode

	// StreamID is the stream to reset, RFC 9113 §5.4.2, or 0 if the whole
	// connection has to end with GOAWAY, RFC 9113 §5.4.1.
	StreamID uint32

	// Reason names the frame and the rule, for humans and for the debug data
	// of GOAWAY. It holds numbers of the frame but no octets of its payload.
	Reason string
}

// Error returns "http2 frame: " and the reason.
func (e *Error) Error() string { return "http2 frame: " + e.Reason }

// connError returns an error that ends the connection.
func connError(code ErrCode, format string, args ...any) error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// streamError returns an error that ends one stream. A peer can cause any
// number of them on one connection, so the reason is a constant and costs
// nothing to build.
func streamError(id uint32, code ErrCode, reason string) error {
	return &Error{Code: code, StreamID: id, Reason: reason}
}

// needStream checks that a frame belongs to a stream.
func needStream(h Header) error {
	if h.StreamID != 0 {
		return nil
	}
	return connError(CodeProtocol, "%v on stream 0", h.Type)
}

// needConnection checks that a frame belongs to the connection.
func needConnection(h Header) error {
	if h.StreamID == 0 {
		return nil
	}
	return connError(CodeProtocol, "%v on stream %d", h.Type, h.StreamID)
}

// needLength checks the length of a payload that has only one. A wrong one
// ends the connection, whatever the stream. RFC 9113 §4.2.
func needLength(h Header, p []byte, want int) error {
	if len(p) == want {
		return nil
	}
	return connError(CodeFrameSize, "%v length %d is not %d", h.Type, len(p), want)
}
