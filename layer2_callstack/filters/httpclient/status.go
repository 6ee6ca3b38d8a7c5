package httpclient

import (
	"strconv"

	"github.com/strata-grpc/strata/internal/quote"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/internal/contenttype"
)

// notGRPC returns the end of a call whose response is not gRPC. The code comes
// from the table "HTTP to gRPC Status Code Mapping" of the gRPC documents.
func notGRPC(md *metadata.List, peer *transport.PeerSlot, cause error) error {
	e := &transport.Error{Layer: Name, Cause: cause}
	if peer != nil {
		if p := peer.Load(); p != nil {
			e.Peer = p.String()
		}
	}
	code, err := strconv.Atoi(md.HTTPStatus)
	switch {
	case md.HTTPStatus == "":
		e.Code, e.Reason = status.Internal, "response without an HTTP status"
	case err != nil || code < 100 || code > 999:
		e.Code, e.Reason = status.Internal, "malformed HTTP status "+quote.Text(md.HTTPStatus)
	default:
		e.Code, e.Reason = status.FromHTTPStatus(code), "unexpected HTTP status "+describe(code)
	}
	switch {
	case md.ContentType == "":
		e.Reason += "; no content-type"
	case !contenttype.Valid(md.ContentType):
		e.Reason += "; content-type " + quote.Text(md.ContentType)
	default:
		e.Reason += "; no grpc-status"
	}
	return e
}

// describe returns the code with its reason phrase, as "404 (Not Found)".
func describe(code int) string {
	text := strconv.Itoa(code)
	if p := phrase(code); p != "" {
		text += " (" + p + ")"
	}
	return text
}

// phrase returns the reason phrase of the codes that proxies and web servers
// commonly answer with, "" for others. RFC 9110 §15
func phrase(code int) string {
	switch code {
	case 200:
		return "OK"
	case 204:
		return "No Content"
	case 301:
		return "Moved Permanently"
	case 302:
		return "Found"
	case 307:
		return "Temporary Redirect"
	case 308:
		return "Permanent Redirect"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 408:
		return "Request Timeout"
	case 413:
		return "Content Too Large"
	case 415:
		return "Unsupported Media Type"
	case 421:
		return "Misdirected Request"
	case 429:
		return "Too Many Requests"
	case 431:
		return "Request Header Fields Too Large"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	default:
		return ""
	}
}
