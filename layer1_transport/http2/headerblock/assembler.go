package headerblock

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An assembler takes the fields of one block as HPACK yields them, checks them
// against RFC 9113 §8.2 and §8.3, decodes gRPC's own codings, and fills a list.
//
// After the first error it takes the remaining fields without looking, since
// HPACK must see the whole block to stay in step with the peer.
type assembler struct {
	list   *metadata.List
	kind   Kind
	limits Limits
	err    *BlockError
	summary
}

// summary is what is known after some fields, besides the list.
type summary struct {
	size, fields int
	regular      bool // a field that is no pseudo-header field was seen
	timeout      time.Duration
	hasTimeout   bool
	host         string
}

// fail keeps the first error.
func (a *assembler) fail(e *BlockError) {
	if a.err == nil {
		e.StreamOnly = true
		a.err = e
	}
}

func (a *assembler) malformed(format string, args ...any) {
	a.fail(&BlockError{Code: status.HTTP2ProtocolError, Reason: fmt.Sprintf(format, args...)})
}

// field takes one field. It is the emit function of the HPACK decoder.
func (a *assembler) field(f hpack.HeaderField) {
	a.fields++
	a.size += len(f.Name) + len(f.Value) + 32
	if a.err != nil {
		return
	}
	if a.size > a.limits.ListSize || a.fields > a.limits.Fields {
		a.fail(&BlockError{Code: status.HTTP2EnhanceYourCalm, TooLarge: true, Reason: fmt.Sprintf(
			"the header list passes the limit of %d bytes or %d fields", a.limits.ListSize, a.limits.Fields)})
		return
	}
	if !coding.ValidValue(f.Value) {
		a.malformed("the value of %q holds a character that RFC 9113 §8.2.1 forbids", clip(f.Name))
		return
	}
	if len(f.Name) > 0 && f.Name[0] == ':' {
		a.pseudo(f.Name, f.Value)
		return
	}
	a.regular = true
	if !coding.ValidName(f.Name) {
		a.malformed("%q is no field name", clip(f.Name))
		return
	}
	a.known(f.Name, f.Value)
}

// pseudo takes a pseudo-header field. RFC 9113 §8.3.
func (a *assembler) pseudo(name, value string) {
	var slot *string
	switch name {
	case ":method":
		slot = &a.list.Method
	case ":scheme":
		slot = &a.list.Scheme
	case ":path":
		slot = &a.list.Path
	case ":authority":
		slot = &a.list.Authority
	case ":status":
		slot = &a.list.HTTPStatus
	}
	wanted := a.kind == Request && name != ":status" || a.kind == Response && name == ":status"
	switch {
	case slot == nil || !wanted:
		a.malformed("the pseudo-header field %q does not belong here", clip(name))
	case a.regular:
		a.malformed("the pseudo-header field %q follows a regular field", name)
	case *slot != "":
		a.malformed("the pseudo-header field %q stands twice", name)
	case value == "" && name != ":authority":
		a.malformed("the pseudo-header field %q is empty", name)
	default:
		*slot = value
	}
}

// known takes a regular field.
func (a *assembler) known(name, value string) {
	l := a.list
	switch name {
	case "content-type":
		if a.kind == Request && l.ContentType != "" {
			a.malformed("content-type stands twice")
		}
		l.ContentType = value
	case "te":
		if value != "trailers" { // RFC 9113 §8.2.2
			a.malformed("te holds something other than trailers")
		}
		l.TE = value
	case "user-agent":
		l.UserAgent = value
	case "grpc-encoding":
		l.Encoding = value
	case "grpc-accept-encoding":
		l.AcceptEncoding = value
	case "grpc-timeout":
		d, err := coding.ParseTimeout(value)
		if err != nil {
			a.fail(&BlockError{Code: status.HTTP2ProtocolError, Field: true, Reason: "malformed grpc-timeout"})
		}
		a.timeout, a.hasTimeout = d, true
	case "grpc-status":
		a.status(value)
	case "grpc-message":
		l.Message = coding.DecodeMessage(value)
	case "host":
		if a.host != "" {
			a.malformed("host stands twice") // gRFC A41
		}
		a.host = value
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		a.malformed("the connection-specific field %q is not allowed in HTTP/2", name) // RFC 9113 §8.2.2
	case "content-length":
		// The length is that of the frames; nothing above needs it.
	default:
		a.user(name, value)
	}
}

// status takes grpc-status. Anything but a number is UNKNOWN.
func (a *assembler) status(value string) {
	code, err := strconv.ParseUint(value, 10, 32)
	if err != nil || code > math.MaxInt32 {
		a.list.Status, a.list.HasStatus = uint32(status.Unknown), true
		a.list.Message = "malformed grpc-status"
		return
	}
	a.list.Status, a.list.HasStatus = uint32(code), true
}

// user takes a field of the application.
func (a *assembler) user(name, value string) {
	if !coding.IsBin(name) {
		a.list.Append(name, value)
		return
	}
	err := coding.DecodeBin(value, func(v string) { a.list.Append(name, v) })
	if err != nil {
		a.fail(&BlockError{Code: status.HTTP2ProtocolError, Field: true,
			Reason: fmt.Sprintf("the value of %q is not base64", clip(name))})
	}
}

// finish checks what can be checked only at the end.
func (a *assembler) finish(now time.Time) error {
	l := a.list
	switch {
	case a.err != nil:
	case a.kind == Request && (l.Method == "" || l.Scheme == "" || l.Path == ""):
		a.malformed("a request needs :method, :scheme and :path")
	case a.kind == Response && l.HTTPStatus == "":
		a.malformed("a response needs :status")
	}
	if a.err != nil {
		return a.err
	}
	if l.Authority == "" {
		l.Authority = a.host // RFC 9113 §8.3.1; gRFC A41
	}
	if a.hasTimeout {
		l.Deadline = now.Add(a.timeout)
	}
	return nil
}

// clip shortens a peer's bytes for an error text.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
