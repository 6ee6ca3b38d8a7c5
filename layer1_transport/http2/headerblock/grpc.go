package headerblock

import (
	"math"
	"strconv"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// grpc takes a field whose name begins with "grpc-" and reports whether it is
// one of the protocol's. The others are the application's, or those of a layer
// above to which they travel as such.
func (a *assembler) grpc(name, value string) bool {
	l := a.list
	switch name {
	case "grpc-encoding":
		l.Encoding = value
	case "grpc-accept-encoding":
		l.AcceptEncoding = value
	case "grpc-timeout":
		a.grpcTimeout(value)
	case "grpc-status":
		a.grpcStatus(value)
	case "grpc-message":
		l.Message = coding.DecodeMessage(value)
	case "grpc-message-type":
		// gRPC-HTTP2 Message-Type: part of the call definition, used by nobody.
	default:
		return false
	}
	return true
}

// grpcTimeout takes the time that a client gives to its call. Of a server it
// would mean nothing. gRPC-HTTP2 Timeout.
func (a *assembler) grpcTimeout(value string) {
	if a.kind != Request {
		return
	}
	d, err := coding.ParseTimeout(value)
	if err != nil {
		a.badField("malformed grpc-timeout")
		return
	}
	a.timeout = d
	a.seen |= seenTimeout
}

// grpcStatus takes the code with which a server ends the call. Of a client it
// would mean nothing. gRPC-HTTP2 Status.
func (a *assembler) grpcStatus(value string) {
	if a.kind == Request {
		return
	}
	code, err := strconv.ParseUint(value, 10, 32)
	l := a.list
	if err != nil || code > math.MaxInt32 || l.HasStatus && l.Status != uint32(code) {
		a.badStatus = true
	}
	l.Status, l.HasStatus = uint32(code), true
}

// replaceStatus makes UNKNOWN of a grpc-status that says nothing, and keeps
// the text that came with it.
func (a *assembler) replaceStatus() {
	l := a.list
	text := "malformed grpc-status"
	if l.Message != "" {
		text += ": " + l.Message
	}
	l.SetStatus(uint32(status.Unknown), text)
}
