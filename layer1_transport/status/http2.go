package status

import "strconv"

// An HTTP2Code is an error code of RST_STREAM and GOAWAY. RFC 9113 §7.
type HTTP2Code uint32

// The codes of RFC 9113 §7.
const (
	HTTP2NoError            HTTP2Code = 0x0
	HTTP2ProtocolError      HTTP2Code = 0x1
	HTTP2InternalError      HTTP2Code = 0x2
	HTTP2FlowControlError   HTTP2Code = 0x3
	HTTP2SettingsTimeout    HTTP2Code = 0x4
	HTTP2StreamClosed       HTTP2Code = 0x5
	HTTP2FrameSizeError     HTTP2Code = 0x6
	HTTP2RefusedStream      HTTP2Code = 0x7
	HTTP2Cancel             HTTP2Code = 0x8
	HTTP2CompressionError   HTTP2Code = 0x9
	HTTP2ConnectError       HTTP2Code = 0xa
	HTTP2EnhanceYourCalm    HTTP2Code = 0xb
	HTTP2InadequateSecurity HTTP2Code = 0xc
	HTTP2HTTP11Required     HTTP2Code = 0xd
)

var http2Names = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String returns the name that RFC 9113 §7 gives the code.
func (c HTTP2Code) String() string {
	if uint64(c) < uint64(len(http2Names)) {
		return http2Names[c]
	}
	return "HTTP2_CODE_0x" + strconv.FormatUint(uint64(c), 16)
}

// fromHTTP2 is the table "Errors" of the gRPC-HTTP2 document: what an
// RST_STREAM with this code means to the call. STREAM_CLOSED has no mapping
// there, since nobody is left to be told; a peer that sends it anyway broke
// the protocol.
var fromHTTP2 = [...]Code{
	HTTP2NoError:            Internal,
	HTTP2ProtocolError:      Internal,
	HTTP2InternalError:      Internal,
	HTTP2FlowControlError:   Internal,
	HTTP2SettingsTimeout:    Internal,
	HTTP2StreamClosed:       Internal,
	HTTP2FrameSizeError:     Internal,
	HTTP2RefusedStream:      Unavailable,
	HTTP2Cancel:             Canceled,
	HTTP2CompressionError:   Internal,
	HTTP2ConnectError:       Internal,
	HTTP2EnhanceYourCalm:    ResourceExhausted,
	HTTP2InadequateSecurity: PermissionDenied,
	HTTP2HTTP11Required:     Internal,
}

// FromHTTP2 returns the status code of a call that the peer reset with c.
// Codes that RFC 9113 does not know are UNKNOWN. A caller whose own deadline
// has passed reports DEADLINE_EXCEEDED in place of CANCELLED.
func FromHTTP2(c HTTP2Code) Code {
	if uint64(c) < uint64(len(fromHTTP2)) {
		return fromHTTP2[c]
	}
	return Unknown
}

// ToHTTP2 returns the code with which a call that ended with c is reset at the
// peer, the table of gRPC core.
func ToHTTP2(c Code) HTTP2Code {
	switch c {
	case OK:
		return HTTP2NoError
	case Canceled, DeadlineExceeded:
		return HTTP2Cancel
	case ResourceExhausted:
		return HTTP2EnhanceYourCalm
	case PermissionDenied:
		return HTTP2InadequateSecurity
	case Unavailable:
		return HTTP2RefusedStream
	default:
		return HTTP2InternalError
	}
}

// FromHTTPStatus returns the status code for a response that is not gRPC, by
// its HTTP status: the official table "HTTP to gRPC Status Code Mapping".
func FromHTTPStatus(code int) Code {
	switch code {
	case 400, 431:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 429, 502, 503, 504:
		return Unavailable
	default:
		return Unknown
	}
}
