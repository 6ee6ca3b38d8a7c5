package credentials

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/strata-grpc/strata/internal/quote"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// PerRPCCredentials are credentials of single calls, such as tokens. Their
// methods may be called at the same time.
type PerRPCCredentials interface {
	// GetRequestMetadata returns the fields to be sent with a call. uri is
	// what the credentials are for, as [RequestURI] returns it. It may take
	// its time, and ends when ctx does, which carries a [RequestInfo] and no value
	// of the application's. Nobody changes the map that it returns.
	GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error)

	// RequireTransportSecurity reports whether the fields are secrets, which
	// go out on connections of level PrivacyAndIntegrity only.
	RequireTransportSecurity() bool
}

// A NonBlocker is credentials of calls that know whether they answer at once. If
// NonBlocking is true they are asked where a call is started: they do no I/O,
// wait for nobody, and keep neither ctx nor uri. Others are asked on a goroutine
// of the call's own, which costs some microseconds.
type NonBlocker interface {
	NonBlocking() bool
}

// CheckPerRPC reports whether creds may be used on a connection. It is the one
// place that decides it, and is asked before [PerRPCCredentials] are asked for
// their fields. The error is UNAUTHENTICATED and says what is missing.
func CheckPerRPC(creds PerRPCCredentials, info AuthInfo) error {
	if !creds.RequireTransportSecurity() {
		return nil
	}
	level := LevelOf(info)
	if level >= PrivacyAndIntegrity {
		return nil
	}
	kind := "none"
	if info != nil {
		kind = info.AuthType()
	}
	return status.Errorf(status.Unauthenticated,
		"the credentials of the call need a connection of security level %v, and this one has %v (transport credentials %s)",
		PrivacyAndIntegrity, level, quote.Text(kind))
}

// RequestURI returns what the credentials of a call are for: the authority
// without the port of https, and the service without the method. A token for
// one method is one for the service. method is "/service/method".
func RequestURI(authority, method string) string {
	service := method
	if i := strings.LastIndexByte(method, '/'); i > 0 {
		service = method[:i]
	}
	return "https://" + strings.TrimSuffix(authority, ":443") + service
}

// AppendRequestMetadata adds the fields that credentials returned to those of a
// call, with keys in lower case, in order. Whether they may be sent is checked
// where all fields are, when the transport writes them: a key or value that may
// not ends the call with INTERNAL.
func AppendRequestMetadata(list *metadata.List, fields map[string]string) {
	var room [8]string // so that usual credentials need no memory for their keys
	keys := room[:0]
	for key := range fields {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
	})
	for _, key := range keys {
		list.Append(strings.ToLower(key), fields[key])
	}
}
