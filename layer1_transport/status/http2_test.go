package status

import "testing"

// TestHTTP2Codes is RFC 9113 §7.
func TestHTTP2Codes(t *testing.T) {
	for number, name := range []string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
		"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
		"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED", "HTTP2_CODE_0xe", "HTTP2_CODE_0xf",
	} {
		if got := HTTP2Code(number).String(); got != name {
			t.Errorf("HTTP2Code(%d) is %q, want %q", number, got, name)
		}
	}
	if got := HTTP2Code(1<<32 - 1).String(); got != "HTTP2_CODE_0xffffffff" {
		t.Errorf("got %q", got)
	}
}

// TestGRPCOverHTTP2Errors is the table of the section "Errors" of the
// gRPC-HTTP2 document, for the reader of an RST_STREAM.
func TestGRPCOverHTTP2Errors(t *testing.T) {
	for code, want := range map[HTTP2Code]Code{
		HTTP2NoError:            Internal,
		HTTP2ProtocolError:      Internal,
		HTTP2InternalError:      Internal,
		HTTP2FlowControlError:   Internal,
		HTTP2SettingsTimeout:    Internal,
		HTTP2StreamClosed:       Internal, // no mapping there
		HTTP2FrameSizeError:     Internal,
		HTTP2RefusedStream:      Unavailable,
		HTTP2Cancel:             Canceled,
		HTTP2CompressionError:   Internal,
		HTTP2ConnectError:       Internal,
		HTTP2EnhanceYourCalm:    ResourceExhausted,
		HTTP2InadequateSecurity: PermissionDenied,
		HTTP2HTTP11Required:     Internal,
		0xe:                     Unknown,
		1<<32 - 1:               Unknown,
	} {
		if got := FromHTTP2(code); got != want {
			t.Errorf("FromHTTP2(%v) = %v, want %v", code, got, want)
		}
	}
}

// TestToHTTP2 is gRPC core's table for the writer of an RST_STREAM.
func TestToHTTP2(t *testing.T) {
	want := map[Code]HTTP2Code{
		OK:                HTTP2NoError,
		Canceled:          HTTP2Cancel,
		DeadlineExceeded:  HTTP2Cancel,
		ResourceExhausted: HTTP2EnhanceYourCalm,
		PermissionDenied:  HTTP2InadequateSecurity,
		Unavailable:       HTTP2RefusedStream,
	}
	for c := range maxCode + 3 {
		expected, ok := want[c]
		if !ok {
			expected = HTTP2InternalError
		}
		if got := ToHTTP2(c); got != expected {
			t.Errorf("ToHTTP2(%v) = %v, want %v", c, got, expected)
		}
	}
}

// TestHTTPToGRPCStatusCodeMapping is the gRPC document of that name, with the
// 431 that the gRPC-HTTP2 document adds.
func TestHTTPToGRPCStatusCodeMapping(t *testing.T) {
	want := map[int]Code{
		400: Internal, 401: Unauthenticated, 403: PermissionDenied, 404: Unimplemented,
		429: Unavailable, 431: Internal, 502: Unavailable, 503: Unavailable, 504: Unavailable,
	}
	for code := range 700 {
		expected, ok := want[code]
		if !ok {
			expected = Unknown
		}
		if got := FromHTTPStatus(code); got != expected {
			t.Errorf("FromHTTPStatus(%d) = %v, want %v", code, got, expected)
		}
	}
}
