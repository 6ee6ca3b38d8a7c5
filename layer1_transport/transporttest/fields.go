package transporttest

import (
	"errors"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// Path and Authority are what the calls of the cases ask for.
const (
	Path      = "/strata.test.Transport/Call"
	Authority = "transport.test"
)

// RequestHeaders returns what the filters of layer 2 would send for a call,
// with the pairs kv, alternating keys and values.
func RequestHeaders(kv ...string) *metadata.List {
	l := &metadata.List{Known: metadata.Known{
		Method: "POST", Scheme: "http", Path: Path, Authority: Authority,
		ContentType: "application/grpc", UserAgent: "transporttest", TE: "trailers",
	}}
	return appendPairs(l, kv)
}

// ResponseHeaders returns the headers of a response, with the pairs kv.
func ResponseHeaders(kv ...string) *metadata.List {
	l := &metadata.List{Known: metadata.Known{HTTPStatus: "200", ContentType: "application/grpc"}}
	return appendPairs(l, kv)
}

// Trailers returns trailers that follow headers, with the pairs kv.
func Trailers(code status.Code, message string, kv ...string) *metadata.List {
	l := new(metadata.List)
	l.SetStatus(uint32(code), message)
	return appendPairs(l, kv)
}

// TrailersOnly returns the single header block of a gRPC-HTTP2 Trailers-Only
// response: headers and status in one.
func TrailersOnly(code status.Code, message string, kv ...string) *metadata.List {
	l := ResponseHeaders(kv...)
	l.SetStatus(uint32(code), message)
	return l
}

func appendPairs(l *metadata.List, kv []string) *metadata.List {
	for i := 0; i < len(kv); i += 2 {
		l.Append(kv[i], kv[i+1])
	}
	return l
}

// StatusOf returns the status that an application would see at the end of a
// call, from what recv_trailing_metadata gave.
func StatusOf(md *metadata.List, err error) *status.Status {
	switch {
	case err != nil:
		return status.Convert(err)
	case md.HasStatus:
		return status.New(status.Code(md.Status), md.Message)
	default:
		return status.New(status.Unknown, "no status received")
	}
}

// codeOf returns the code of a [transport.Error] in err, and whether it holds
// one.
func codeOf(err error) (status.Code, bool) {
	var e *transport.Error
	if !errors.As(err, &e) {
		return status.Unknown, false
	}
	return e.Code, true
}
