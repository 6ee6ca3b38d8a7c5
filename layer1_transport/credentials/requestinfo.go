package credentials

import "context"

// A RequestInfo is what [PerRPCCredentials] may learn of the call that they are
// asked for.
type RequestInfo struct {
	// Method is "/service/method".
	Method string
	// AuthInfo is what the handshake found out about the server, nil where
	// there was none.
	AuthInfo AuthInfo
}

type requestInfoKey struct{}

// NewRequestInfoContext returns a context for [PerRPCCredentials.GetRequestMetadata],
// with info. It is for whoever asks credentials: the library, and tests of
// credentials.
func NewRequestInfoContext(ctx context.Context, info *RequestInfo) context.Context {
	return context.WithValue(ctx, requestInfoKey{}, info)
}

// RequestInfoFromContext returns what the context of GetRequestMetadata says of
// the call.
func RequestInfoFromContext(ctx context.Context) (info RequestInfo, ok bool) {
	p, ok := ctx.Value(requestInfoKey{}).(*RequestInfo)
	if !ok || p == nil {
		return RequestInfo{}, false
	}
	return *p, true
}
