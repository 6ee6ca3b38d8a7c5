package headerblock

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/internal/quote"
	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An assembler takes the fields of one block as HPACK yields them, checks them
// against RFC 9113 §8.2 and §8.3, decodes gRPC's own codings, and fills a list.
//
// After the first error it takes no more fields. The rest of the block passes
// HPACK all the same, to stay in step with the peer.
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
	seen         seen
	badStatus    bool // grpc-status is no number, or is two
	timeout      time.Duration
	host         string
}

// seen is a set of fields that may stand in a block once only.
type seen uint16

const (
	seenMethod seen = 1 << iota
	seenScheme
	seenPath
	seenAuthority
	seenHTTPStatus
	seenContentType
	seenHost
	seenTimeout
)

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

// badField is for values that HTTP/2 allows and gRPC does not.
func (a *assembler) badField(format string, args ...any) {
	a.fail(&BlockError{Code: status.HTTP2ProtocolError, Field: true, Reason: fmt.Sprintf(format, args...)})
}

// field takes one field. It is the emit function of the HPACK decoder.
func (a *assembler) field(f hpack.HeaderField) {
	if a.err != nil {
		return
	}
	a.size += len(f.Name) + len(f.Value) + 32
	if !a.count(1) {
		return
	}
	pseudo, value := len(f.Name) > 0 && f.Name[0] == ':', f.Value
	if !pseudo {
		// RFC 9113 §8.2.1 has no blanks at the ends, but every gRPC sends
		// those of a status message, and gRPC-HTTP2 ASCII-Value lets them be.
		value = coding.TrimValue(value)
	}
	if !coding.ValidValue(value) {
		a.malformed("the value of %s holds a character that RFC 9113 §8.2.1 forbids", quote.Text(f.Name))
		return
	}
	if pseudo {
		a.pseudo(f.Name, f.Value)
		return
	}
	a.regular = true
	if !coding.ValidName(f.Name) {
		a.malformed("%s is no field name", quote.Text(f.Name))
		return
	}
	if f.Name == "grpc-message" {
		value = f.Value
	}
	a.known(f.Name, value)
}

// count adds n fields and reports whether the limits hold.
func (a *assembler) count(n int) bool {
	a.fields += n
	if a.size <= a.limits.ListSize && a.fields <= a.limits.Fields {
		return true
	}
	a.fail(&BlockError{Code: status.HTTP2EnhanceYourCalm, TooLarge: true, Reason: fmt.Sprintf(
		"the header list passes the limit of %d bytes or %d fields", a.limits.ListSize, a.limits.Fields)})
	return false
}

// first notes that a field was seen and reports whether it was not before.
func (a *assembler) first(s seen) bool {
	before := a.seen
	a.seen |= s
	return before&s == 0
}

// pseudo takes a pseudo-header field. RFC 9113 §8.3.
func (a *assembler) pseudo(name, value string) {
	var slot *string
	var bit seen
	switch l := a.list; name {
	case ":method":
		slot, bit = &l.Method, seenMethod
	case ":scheme":
		slot, bit = &l.Scheme, seenScheme
	case ":path":
		slot, bit = &l.Path, seenPath
	case ":authority":
		slot, bit = &l.Authority, seenAuthority
	case ":status":
		slot, bit = &l.HTTPStatus, seenHTTPStatus
	}
	ofRequest := bit != seenHTTPStatus
	wanted := a.kind == Request && ofRequest || a.kind == Response && !ofRequest
	switch {
	case slot == nil || !wanted:
		a.malformed("the pseudo-header field %s does not belong here", quote.Text(name))
	case a.regular:
		a.malformed("the pseudo-header field %q follows a regular field", name)
	case !a.first(bit):
		a.malformed("the pseudo-header field %q stands twice", name)
	case value == "" && name != ":authority":
		a.malformed("the pseudo-header field %q is empty", name)
	case name == ":status" && !validHTTPStatus(value):
		a.malformed(":status is no number of three digits")
	default:
		*slot = value
	}
	if bit == seenAuthority {
		a.authority(name, value)
	}
}

// authority refuses user information, which has no place in the name of a
// server and has led to confusion about where the name begins. RFC 9113 §8.3.1.
func (a *assembler) authority(name, value string) {
	if strings.Contains(value, "@") {
		a.malformed("%s holds user information", name)
	}
}

// validHTTPStatus reports whether s is three digits, the first not 0.
// RFC 9110 §15.
func validHTTPStatus(s string) bool {
	return len(s) == 3 && '1' <= s[0] && s[0] <= '9' && isDigit(s[1]) && isDigit(s[2])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// known takes a regular field: of HTTP, of gRPC, or of the application.
func (a *assembler) known(name, value string) {
	if strings.HasPrefix(name, "grpc-") && a.grpc(name, value) {
		return
	}
	l := a.list
	switch name {
	case "content-type":
		if !a.first(seenContentType) && a.kind == Request {
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
	case "host":
		if !a.first(seenHost) {
			a.malformed("host stands twice") // gRFC A41
		}
		a.authority(name, value)
		a.host = value
	case "content-length":
		a.contentLength(value)
	default:
		if coding.IsConnectionSpecific(name) {
			a.malformed("the connection-specific field %q is not allowed in HTTP/2", name) // RFC 9113 §8.2.2
			return
		}
		a.user(name, value)
	}
}

// contentLength takes content-length: how many bytes all DATA frames of the
// stream must have together, which is for the session to compare.
// RFC 9113 §8.1.1.
func (a *assembler) contentLength(value string) {
	const most = 18 // digits that an int64 holds whatever they are
	n, digits := int64(0), 0
	for ; digits < len(value) && digits < most && isDigit(value[digits]); digits++ {
		n = n*10 + int64(value[digits]-'0')
	}
	l := a.list
	switch {
	case digits == 0 || digits < len(value):
		a.malformed("content-length is no number of at most %d digits", most)
	case l.HasContentLength && l.ContentLength != n:
		a.malformed("content-length stands twice")
	default:
		l.ContentLength, l.HasContentLength = n, true
	}
}

// user takes a field of the application.
func (a *assembler) user(name, value string) {
	if !coding.IsBin(name) {
		a.list.Append(name, value)
		return
	}
	// A comma of one byte makes a pair of 32, so each counts as a field.
	if n := strings.Count(value, ","); n > 0 && !a.count(n) {
		return
	}
	err := coding.DecodeBin(value, func(v string) { a.list.Append(name, v) })
	if err != nil {
		a.badField("the value of %s is not base64", quote.Text(name))
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
	if a.seen&seenTimeout != 0 {
		l.Deadline = now.Add(a.timeout)
	}
	if a.badStatus {
		a.replaceStatus()
	}
	return nil
}
