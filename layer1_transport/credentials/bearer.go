package credentials

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// NewBearerToken returns credentials that send token with every call, in the
// field authorization as RFC 6750 §2.1 has it. The token is a secret: it goes out
// on secure connections only, and nothing that prints the credentials shows it.
func NewBearerToken(token string) PerRPCCredentials {
	return &bearerToken{map[string]string{"authorization": "Bearer " + token}}
}

type bearerToken struct {
	fields map[string]string // read-only
}

func (t *bearerToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return t.fields, nil
}

// RequireTransportSecurity returns true.
func (*bearerToken) RequireTransportSecurity() bool { return true }

// NonBlocking returns true: the token is here.
func (*bearerToken) NonBlocking() bool { return true }

// String names the kind of the credentials. What else they hold is a secret.
func (*bearerToken) String() string { return "BearerToken" }

// Format writes String for every verb.
func (t *bearerToken) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, t.String()) }

// LogValue is String, for package slog.
func (t *bearerToken) LogValue() slog.Value { return slog.StringValue(t.String()) }
