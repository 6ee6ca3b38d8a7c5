package stubs_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestOptionsThatAreNil: nil is as good as not to give the option, where one can be
// nil at all.
func TestOptionsThatAreNil(t *testing.T) {
	f := newFixture(t, new(echo), options{
		dial: []stubs.DialOption{
			stubs.WithUnaryInterceptor(nil), stubs.WithChainUnaryInterceptor(nil), stubs.WithStreamInterceptor(nil),
			stubs.WithChainStreamInterceptor(nil), stubs.WithContextDialer(nil), stubs.WithTrace(nil), stubs.WithLogger(nil),
			stubs.WithDefaultCallOptions(stubs.Header(nil), stubs.Trailer(nil), stubs.Peer(nil), stubs.OnFinish(nil),
				stubs.PerRPCCredentials(nil), stubs.ResponseCompressed(nil)),
		},
		server: []stubs.ServerOption{
			stubs.UnaryInterceptor(nil), stubs.ChainUnaryInterceptor(nil), stubs.StreamInterceptor(nil),
			stubs.ChainStreamInterceptor(nil), stubs.Creds(nil), stubs.WithTrace(nil),
		},
	})
	if _, err := f.client.Unary(within(t), &testpb.Request{}); err != nil {
		t.Error(err)
	}
	if err := bidiOnce(within(t), f.client); err != nil {
		t.Error(err)
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "without a description") {
			t.Errorf("RegisterService(nil) panicked with %q", got)
		}
	}()
	stubs.NewServer().RegisterService(nil, 1)
}

// What users implement, by something inside: the methods of a nil pointer panic.
type (
	nilCreds struct {
		credentials.TransportCredentials
	}
	nilToken      struct{ credentials.PerRPCCredentials }
	nilSink       struct{ trace.Sink }
	nilCompressor struct{ stubs.Compressor }
)

// TestNilIsAnError has what cannot be nil, nor a nil pointer in an interface: NewClient
// fails and NewServer panics, and both quote the option.
func TestNilIsAnError(t *testing.T) {
	const deref = ": runtime error: invalid memory address or nil pointer dereference"
	codings := func(c stubs.Compressor) stubs.Option {
		return stubs.WithCompression(stubs.CompressionConfig{Compressors: []stubs.Compressor{c}})
	}
	log := stubs.ExtraFilter{Filter: calllog.New(calllog.Config{Level: (*slog.LevelVar)(nil)})}
	for _, tc := range []struct {
		name string
		opt  any // a DialOption, a ServerOption, or both
		want string
	}{
		{"WithTransportCredentials", stubs.WithTransportCredentials(nil), "no credentials are set"},
		{"WithTransportCredentials of a nil pointer", stubs.WithTransportCredentials((*nilCreds)(nil)),
			"option WithCredentials cannot be used: a nil *stubs_test.nilCreds panicked in Info" + deref},
		{"Creds of a nil pointer", stubs.Creds((*nilCreds)(nil)),
			"option WithCredentials cannot be used: a nil *stubs_test.nilCreds panicked in Info" + deref},
		{"WithPerRPCCredentials", stubs.WithPerRPCCredentials(nil), "option Credentials: number 1 of 1 is nil"},
		{"WithPerRPCCredentials of a nil pointer", stubs.WithPerRPCCredentials((*nilToken)(nil)),
			"a nil *stubs_test.nilToken panicked in RequireTransportSecurity" + deref},
		{"WithTrace of a nil pointer", stubs.WithTrace((*nilSink)(nil)), "option WithTrace cannot be used: a nil *stubs_test.nilSink panicked in Emit" + deref},
		{"WithCompression", codings(nil), "option Compressors: compressor 0 is nil"},
		{"WithCompression of a nil pointer", codings((*nilCompressor)(nil)), "a nil *stubs_test.nilCompressor panicked in Name" + deref},
		{"WithFilter", stubs.WithFilter(stubs.ExtraFilter{}), "a nil filter was added"},
		{"WithFilter with an option that is a nil pointer", stubs.WithFilter(log), "option Level cannot be used: a nil *slog.LevelVar"},
		{"WithChannelFilter", stubs.WithChannelFilter(stubs.ExtraFilter{}), "a nil filter was added"},
		{"WithDefaultCallOptions", stubs.WithDefaultCallOptions(stubs.WaitForReady(true), nil),
			`stubs: client of "passthrough:///x": option WithDefaultCallOptions: option number 2 of 2 is nil`},
		{"ServerAuth", stubs.ServerAuth(stubs.ServerAuthConfig{}), "option Process is nil"},
		{"no option", nil, "option number 2 of 2 is nil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if opt, ok := tc.opt.(stubs.DialOption); ok || tc.opt == nil {
				_, err := stubs.NewClient("passthrough:///x", stubs.WithTransportCredentials(credentials.NewInsecure()), opt)
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("NewClient = %v, want %q", err, tc.want)
				}
			}
			if opt, ok := tc.opt.(stubs.ServerOption); ok || tc.opt == nil {
				defer func() {
					if got, ok := recover().(string); !ok || !strings.Contains(got, "NewServer: ") || !strings.Contains(got, tc.want) {
						t.Errorf("NewServer panicked with %q, want %q", got, tc.want)
					}
				}()
				stubs.NewServer(stubs.MaxHandshakes(1), opt)
			}
		})
	}
}

// TestNilCredentialsOfACall: a nil pointer ends the call that it was given to.
func TestNilCredentialsOfACall(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	_, err := f.client.Unary(within(t), &testpb.Request{}, stubs.PerRPCCredentials((*nilToken)(nil)))
	if wantCode(t, err, status.Internal); !strings.Contains(fmt.Sprint(err), "credentials *stubs_test.nilToken panicked") {
		t.Errorf("the call ended with %v", err)
	}
	if _, err := f.client.Unary(within(t), &testpb.Request{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestNilCallOption: it ends the call that it was given to, with its number.
func TestNilCallOption(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	const want = "call option number 2 of 2 is nil"
	_, err := f.client.Unary(within(t), &testpb.Request{}, stubs.WaitForReady(true), nil)
	if wantCode(t, err, status.Internal); !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("the call ended with %v, want %q", err, want)
	}
	_, err = f.client.Bidi(within(t), stubs.WaitForReady(true), nil)
	if wantCode(t, err, status.Internal); !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("the stream ended with %v, want %q", err, want)
	}
	if _, err := f.client.Unary(within(t), &testpb.Request{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestSizesThatAreNone: a bound of 0 or less is one, except that of what a server
// receives.
func TestSizesThatAreNone(t *testing.T) {
	for _, n := range []int{0, -1} {
		f := newFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.MaxRecvMsgSize(n)}})
		strict := newFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.MaxSendMsgSize(n)}})
		req, empty := &testpb.Request{Text: "hello"}, new(testpb.Request)
		for _, tc := range []struct {
			name string
			f    *fixture
			req  *testpb.Request
			opt  stubs.CallOption
			want status.Code
		}{
			{"without a bound", f, req, stubs.WaitForReady(false), status.OK},
			{"MaxCallSendMsgSize, an empty message", f, empty, stubs.MaxCallSendMsgSize(n), status.OK},
			{"MaxCallSendMsgSize", f, req, stubs.MaxCallSendMsgSize(n), status.ResourceExhausted},
			{"MaxCallRecvMsgSize", f, req, stubs.MaxCallRecvMsgSize(n), status.ResourceExhausted},
			{"MaxSendMsgSize", strict, req, stubs.WaitForReady(false), status.ResourceExhausted},
		} {
			if _, err := tc.f.client.Unary(within(t), tc.req, tc.opt); status.CodeOf(err) != tc.want {
				t.Errorf("%s of %d: %v, want %v", tc.name, n, err, tc.want)
			}
		}
	}
}
