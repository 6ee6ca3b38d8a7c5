package surface

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// What users implement, by something inside: the methods of a nil pointer panic.
type (
	nilCreds struct {
		credentials.TransportCredentials
	}
	nilToken      struct{ credentials.PerRPCCredentials }
	nilSink       struct{ trace.Sink }
	nilResolver   struct{ resolver.Builder }
	nilCompressor struct{ encoding.Compressor }
	nilFilter     struct{ callstack.Filter }
)

// The same without anything inside: a nil pointer does as well as another.
type (
	emptyToken struct{}
	emptySink  struct{}
)

func (*emptyToken) RequireTransportSecurity() bool { return false }
func (*emptyToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}
func (*emptySink) Emit(*trace.Event) trace.EventID { return 1 }
func (*emptySink) Level() trace.Level              { return trace.LevelEvents }

// A prompt token is asked whether it may block.
type promptToken struct{ prompt bool }

func (p *promptToken) NonBlocking() bool            { return p.prompt }
func (*promptToken) RequireTransportSecurity() bool { return false }
func (*promptToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}

// angry are credentials that panic with a secret.
type angry struct{}

func (angry) RequireTransportSecurity() bool { panic(errors.New("SECRET")) }

func (angry) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}

// TestNil gives nil, and nil pointers in an interface, to every option that takes an
// interface or a function: it is an error that names the option, or as good as not
// to give the option at all.
func TestNil(t *testing.T) {
	const deref = ": runtime error: invalid memory address or nil pointer dereference"
	codings := func(c encoding.Compressor) Option {
		return WithCompression(compression.Config{Compressors: []encoding.Compressor{c}})
	}
	for _, tc := range []struct {
		name string
		opt  any    // a ChannelOption, a ServerOption, or both
		want string // empty: it is allowed
	}{
		{"WithCredentials of a nil pointer", WithCredentials((*nilCreds)(nil)),
			"option WithCredentials cannot be used: a nil *surface.nilCreds panicked in Info" + deref},
		{"WithPerRPCCredentials", WithPerRPCCredentials(&emptyToken{}, nil), "option Credentials: number 2 of 2 is nil"},
		{"WithPerRPCCredentials of a nil pointer", WithPerRPCCredentials((*nilToken)(nil)),
			"option Credentials: number 1 of 1 cannot be used: a nil *surface.nilToken panicked in RequireTransportSecurity" + deref},
		{"WithPerRPCCredentials of a nil pointer that is asked whether it waits", WithPerRPCCredentials((*promptToken)(nil)),
			"option Credentials: number 1 of 1 cannot be used: a nil *surface.promptToken panicked in NonBlocking" + deref},
		{"WithPerRPCCredentials that panic with a secret", WithPerRPCCredentials(angry{}),
			"option Credentials: number 1 of 1 cannot be used: surface.angry panicked in RequireTransportSecurity: *errors.errorString"},
		{"WithPerRPCCredentials of a nil pointer that works", WithPerRPCCredentials((*emptyToken)(nil)), ""},
		{"WithPerRPCCredentials of none", WithPerRPCCredentials(), ""},
		{"WithLogger", WithLogger(nil), ""},
		{"WithLogger without a handler", WithLogger(&slog.Logger{}), "option WithLogger cannot be used: the logger has no handler"},
		{"WithTrace", WithTrace(nil), ""},
		{"WithTrace of a nil pointer", WithTrace((*nilSink)(nil)), "option WithTrace cannot be used: a nil *surface.nilSink panicked in Emit" + deref},
		{"WithTrace of a nil pointer that works", WithTrace((*emptySink)(nil)), ""},
		{"WithCompression", codings(nil), "option Compressors: compressor 0 is nil"},
		{"WithCompression of a nil pointer", codings((*nilCompressor)(nil)),
			"option Compressors: compressor 0 cannot be used: a nil *surface.nilCompressor panicked in Name" + deref},
		{"WithFilter", WithFilter(stacks.Extra{}), "a nil filter was added"},
		{"WithFilter of a nil pointer", WithFilter(stacks.Extra{Filter: (*nilFilter)(nil)}),
			": Name panicked" + deref},
		{"WithFilter with a level that is a nil pointer", WithFilter(stacks.Extra{Filter: calllog.New(calllog.Config{Level: (*slog.LevelVar)(nil)})}),
			`filter "call_log": option Level cannot be used: a nil *slog.LevelVar panicked in Level` + deref},
		{"WithChannelFilter", WithChannelFilter(stacks.Extra{}), "a nil filter was added"},
		{"WithChannelFilter of a nil pointer", WithChannelFilter(stacks.Extra{Filter: (*nilFilter)(nil)}),
			": Name panicked" + deref},
		{"WithResolvers", WithResolvers(resolver.Passthrough{}, nil), "Resolvers[1] is nil"},
		{"WithResolvers of a nil pointer", WithResolvers((*nilResolver)(nil)),
			"Resolvers[0] cannot be used: a nil *surface.nilResolver panicked in Scheme" + deref},
		{"WithDialer", WithDialer(nil), ""},
		{"WithFaultInjection", WithFaultInjection(faultinjection.Config{AbortCode: 1, AbortPercent: 50}), ""},
		{"WithServerAuth", WithServerAuth(serverauth.Config{}), "option Process is nil"},
		{"no ChannelOption", ChannelOption(nil), "option number 2 of 2 is nil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check := func(maker, said string) {
				t.Helper()
				if !strings.Contains(said, tc.want) || (said == "") != (tc.want == "") || strings.Contains(said, "SECRET") {
					t.Errorf("%s says %q, want %q", maker, said, tc.want)
				}
			}
			if opt, ok := tc.opt.(ChannelOption); ok || tc.opt == nil {
				check("NewChannel", said(func() error {
					ch, err := NewChannel("passthrough:///x", WithCredentials(credentials.NewInsecure()), opt)
					if err == nil {
						ch.Close()
					}
					return err
				}))
				// Where there is a connection nobody resolves a name.
				if tc.want == "" || !strings.Contains(tc.want, "Resolvers") {
					check("NewDirectChannel", said(func() error {
						client, server := inproc.Pair(inproc.Config{})
						defer server.Close()
						defer client.Close()
						ch, err := NewDirectChannel(client, WithLogger(quietLogger()), opt)
						if err == nil {
							ch.Close()
						}
						return err
					}))
				}
			}
			if opt, ok := tc.opt.(ServerOption); ok || tc.opt == nil {
				check("NewServer", said(func() error {
					NewServer(WithLogger(quietLogger()), opt).Close()
					return nil
				}))
			}
		})
	}
}

// said returns the text of the error, or of the library's own panic.
func said(f func() error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text, _ = p.(string)
			if !strings.HasPrefix(text, "surface: NewServer: ") {
				text = fmt.Sprintf("panic: %v", p)
			}
		}
	}()
	if err := f(); err != nil {
		return err.Error()
	}
	return ""
}

// TestNilCredentials: a channel has to be given some, a server need not.
func TestNilCredentials(t *testing.T) {
	if _, err := NewChannel("passthrough:///x", WithCredentials(nil)); err == nil || !strings.Contains(err.Error(), "no credentials are set") {
		t.Errorf("NewChannel = %v", err)
	}
	NewServer(WithCredentials(nil)).Close()
}

// TestNilCallCredentials: a nil pointer as credentials of a call ends that call at
// most, with an error that names its type.
func TestNilCallCredentials(t *testing.T) {
	for _, tc := range []struct {
		name  string
		creds credentials.PerRPCCredentials
		want  string // empty: the call is carried
	}{
		{"nil", nil, ""},
		{"a nil pointer that works", (*emptyToken)(nil), ""},
		{"a nil pointer", (*nilToken)(nil), "credentials *surface.nilToken panicked: runtime error"},
		{"a nil pointer that is asked whether it waits", (*promptToken)(nil), "credentials *surface.promptToken panicked: runtime error"},
	} {
		for _, set := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/set=%t", tc.name, set), func(t *testing.T) {
				s, scq := newFixtureServer(t)
				f := connectFixture(t, s, scq, WithLogger(quietLogger()))
				req := f.request("request")
				params := CallParams{}
				if !set {
					params.Credentials = tc.creds
				}
				c := f.call(params)
				if set {
					if e := c.SetCredentials(tc.creds); e != CallOK {
						t.Fatalf("SetCredentials = %v", e)
					}
				}
				if tc.want == "" {
					f.start(c, "headers", opSendHeaders())
					f.expect(scq, "request", true)
					f.expect(f.cq, "headers", true)
					req.Call.Release()
				} else {
					var st clientState
					f.start(c, "call", opSendHeaders(), st.opStatus())
					f.expect(f.cq, "call", true)
					if got := fmt.Sprint(st.status); !strings.Contains(got, tc.want) {
						t.Errorf("the call ended with %v, want %q", got, tc.want)
					}
				}
				c.Release()
			})
		}
	}
}
