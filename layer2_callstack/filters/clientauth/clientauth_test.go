package clientauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientauth"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// A fake is credentials that do what the test says.
type fake struct {
	fields map[string]string
	err    error
	secret bool
	// do, if not nil, is done while the credentials are asked.
	do func(ctx context.Context, uri []string) error
}

func (f *fake) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if f.do != nil {
		if err := f.do(ctx, uri); err != nil {
			return nil, err
		}
	}
	return f.fields, f.err
}

func (f *fake) RequireTransportSecurity() bool { return f.secret }

// A prompt fake answers at once.
type prompt struct{ fake }

func (*prompt) NonBlocking() bool { return true }

type perRPC = credentials.PerRPCCredentials

// both returns credentials that do what f says: some that are asked on a
// goroutine, and some that are asked in place.
func both(f fake) map[string]perRPC { return map[string]perRPC{"blocking": &f, "prompt": &prompt{f}} }

// token is a field of a fake, with a word by which it would be found.
func token(key string) map[string]string { return map[string]string{key: "SECRET"} }

func config(creds ...perRPC) clientauth.Config { return clientauth.Config{Credentials: creds} }

func TestContract(t *testing.T) {
	for name, cfg := range map[string]clientauth.Config{
		"no credentials": {}, "credentials": config(&prompt{}), "credentials that may block": config(&fake{}),
	} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, callstacktest.Client, clientauth.New(cfg)) })
	}
}

// TestCreateFails is what gRPC core calls CreateFailsWithoutRequiredChannelArgs;
// all that is needed here are the credentials.
func TestCreateFails(t *testing.T) {
	for _, tc := range []struct {
		cfg  clientauth.Config
		want string
	}{
		{config(&fake{}, nil), "option Credentials: number 2 of 2 is nil"},
		{config((*fake)(nil)), "option Credentials: number 1 of 1 cannot be used: a nil *clientauth_test.fake panicked in RequireTransportSecurity: " +
			"runtime error: invalid memory address or nil pointer dereference"},
		{config(&undecided{}), "option Credentials: number 1 of 1 cannot be used: *clientauth_test.undecided panicked in NonBlocking: string"},
	} {
		if err := tc.cfg.Validate(); err == nil || err.Error() != tc.want {
			t.Errorf("Validate: %v, want %q", err, tc.want)
		}
	}
	b := callstack.NewBuilder("TEST")
	b.Add(clientauth.New(config(nil)))
	b.Add(connected.New()).Terminal()
	if _, err := b.Build(callstack.ChannelArgs{}); err == nil || !strings.Contains(err.Error(), `filter "client_auth": option Credentials`) {
		t.Errorf("Build: %v", err)
	}
}

// An undecided fake panics when it is asked whether it may block.
type undecided struct{ fake }

func (*undecided) NonBlocking() bool { panic("undecided") }

// A touchy fake panics when it is asked what it needs.
type touchy struct{ prompt }

func (*touchy) RequireTransportSecurity() bool { panic("touchy") }

// TestOwnCredentialsPanic: nobody has tried out those of a call before it begins.
func TestOwnCredentialsPanic(t *testing.T) {
	for want, own := range map[string]perRPC{"*clientauth_test.undecided": &undecided{}, "*clientauth_test.touchy": &touchy{}} {
		r := newRig(t, clientauth.Config{}, own)
		b := r.start(t)
		if err := b.GotTrailers.Err(); status.CodeOf(err) != status.Internal || !strings.Contains(err.Error(), "credentials "+want+" panicked: string") {
			t.Errorf("the call ended with %v", err)
		}
		r.end(t)
	}
}

// TestCreateSucceeds has gRPC core's name: also without a transport.
func TestCreateSucceeds(t *testing.T) {
	if _, err := clientauth.New(config(&fake{})).NewChannel(&callstack.ChannelArgs{}, nil); err != nil {
		t.Error(err)
	}
}

// A rig is a call through the filter.
type rig struct {
	tr    *callstacktest.Transport
	stack *callstack.ChannelStack
	call  *callstacktest.Call
	args  callstack.CallArgs
	log   bytes.Buffer
}

// newRig returns calls with credentials of the channel and own ones, over a
// connection on which edit has the last word.
func newRig(t testing.TB, cfg clientauth.Config, own perRPC, edit ...func(*callstack.ChannelArgs)) *rig {
	t.Helper()
	r := &rig{tr: &callstacktest.Transport{}, args: callstacktest.Client.Args()}
	r.args.Credentials = own
	b := callstack.NewBuilder("TEST")
	b.Add(clientauth.New(cfg))
	b.Add(connected.New()).Terminal()
	args := callstack.ChannelArgs{Transport: r.tr, Logger: slog.New(slog.NewTextHandler(&r.log, nil))}
	for _, f := range edit {
		f(&args)
	}
	var err error
	if r.stack, err = b.Build(args); err != nil {
		t.Fatal(err)
	}
	r.call = callstacktest.NewCall(r.stack)
	return r
}

// begin begins a call.
func (r *rig) begin(t testing.TB) {
	t.Helper()
	if err := r.call.Begin(r.args); err != nil {
		t.Fatal(err)
	}
}

// start begins a call and starts all of it in one batch.
func (r *rig) start(t testing.TB) *callstacktest.Batch {
	t.Helper()
	r.begin(t)
	return r.call.Do(transport.OpsSend|transport.OpsRecv, withHeaders)
}

func withHeaders(b *callstacktest.Batch) {
	b.SendHeaders.Path, b.SendHeaders.Authority = "/service/method", "example.com"
	b.SendHeaders.Append("own", "1")
}

func (r *rig) stream() *callstacktest.Stream { return r.tr.Streams()[0] }

// sent returns the pairs that the transport was given.
func (r *rig) sent() string {
	var got []string
	for _, p := range r.stream().SentHeaders().Pairs() {
		got = append(got, p.Key+"="+p.Value)
	}
	return strings.Join(got, " ")
}

// end ends the call, and checks that nothing refers to it.
func (r *rig) end(t testing.TB) {
	t.Helper()
	r.stream().Headers(nil, nil)
	r.stream().Message(nil, nil)
	r.stream().Trailers(nil, nil)
	r.over(t)
}

// over checks that nothing refers to the call, which has ended.
func (r *rig) over(t testing.TB) {
	t.Helper()
	before := r.call.Recycled()
	r.call.Unref()
	if r.call.Recycled() != before+1 {
		t.Error("the block is still referred to")
	}
}

// TestSends: the channel's credentials come first, each behind the call's own
// fields, and are told where and what the call is.
func TestSends(t *testing.T) {
	info := credentials.TLSInfo{}
	asked := func(id string, log *[]string) fake {
		return fake{fields: token(id), do: func(ctx context.Context, uri []string) error {
			ri, ok := credentials.RequestInfoFromContext(ctx)
			*log = append(*log, fmt.Sprint(id, uri, " ", ri.Method, " ", ok, ri.AuthInfo != nil))
			return ctx.Err()
		}}
	}
	for _, mode := range []string{"blocking", "prompt"} {
		for _, tc := range []struct {
			name string
			of   []string // the channel
			own  string
			want string
		}{
			{"the channel's", []string{"a", "b"}, "", "own=1 a=SECRET b=SECRET"},
			{"the call's", nil, "z", "own=1 z=SECRET"},
			{"both", []string{"z"}, "a", "own=1 z=SECRET a=SECRET"},
			{"none", nil, "", "own=1"},
		} {
			t.Run(tc.name+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log, wantLog []string
					of := func(id string) perRPC {
						wantLog = append(wantLog, id+"[https://example.com/service] /service/method true true")
						return both(asked(id, &log))[mode]
					}
					var cfg clientauth.Config
					for _, id := range tc.of {
						cfg.Credentials = append(cfg.Credentials, of(id))
					}
					var own perRPC
					if tc.own != "" {
						own = of(tc.own)
					}
					r := newRig(t, cfg, own, func(args *callstack.ChannelArgs) {
						args.Transport.(*callstacktest.Transport).Auth = info
					})
					for range 2 { // in the same block
						log = nil
						b := r.start(t)
						synctest.Wait()
						if got := r.sent(); got != tc.want {
							t.Errorf("sent %q, want %q", got, tc.want)
						}
						if !slices.Equal(log, wantLog) {
							t.Errorf("asked %q, want %q", log, wantLog)
						}
						if b.Sent.Count() != 1 || b.Sent.Err() != nil || b.SendHeaders.Len() != 1 {
							t.Errorf("sending ended %d times with %v, and the list has %d pairs", b.Sent.Count(), b.Sent.Err(), b.SendHeaders.Len())
						}
						r.end(t)
					}
				})
			})
		}
	}
}

// TestAudience: each call of a block asks for what it is for.
func TestAudience(t *testing.T) {
	var got string
	for mode, creds := range both(fake{do: func(ctx context.Context, uri []string) error {
		info, _ := credentials.RequestInfoFromContext(ctx)
		got = fmt.Sprint(uri, info.Method)
		return nil
	}}) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, config(creds), nil)
			for _, call := range []struct{ authority, path, want string }{
				{"a.test", "/s/m", "[https://a.test/s]/s/m"},
				{"b.test", "/s/m", "[https://b.test/s]/s/m"},
				{"b.test", "/s/n", "[https://b.test/s]/s/n"},
				{"b.test", "/t/n", "[https://b.test/t]/t/n"},
				{"b.test", "/t/n", "[https://b.test/t]/t/n"},
			} {
				r.begin(t)
				r.call.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) {
					b.SendHeaders.Authority, b.SendHeaders.Path = call.authority, call.path
				})
				synctest.Wait()
				if got != call.want {
					t.Errorf("%s: asked for %s, want %s", mode, got, call.want)
				}
				r.end(t)
			}
		})
	}
}

// TestCallCredsFails has gRPC core's name: how a call ends whose credentials
// fail. Nothing of it is sent, and the batch fails in order.
func TestCallCredsFails(t *testing.T) {
	denied := errors.New("access denied")
	for _, tc := range []struct {
		name string
		fake fake
		code status.Code
		says string
		is   error
	}{
		{"an error", fake{err: denied}, status.Unauthenticated, "have nothing to send (peer 192.0.2.1:443): access denied", denied},
		{"a status", fake{err: status.Error(status.Unavailable, "later")}, status.Unavailable, "desc = later", nil},
		{"a wrapped status", fake{err: fmt.Errorf("no token: %w", status.Error(status.PermissionDenied, "no"))}, status.PermissionDenied, "no token", nil},
		{"a context error of their own", fake{err: context.DeadlineExceeded}, status.Unauthenticated, "context deadline exceeded", context.DeadlineExceeded},
		{"a panic", fake{do: func(context.Context, []string) error { panic("SECRET") }}, status.Internal, "panicked: string", nil},
		{"a panic of the runtime", fake{do: func(context.Context, []string) error { var p *fake; p.err = nil; return nil }}, status.Internal,
			"panicked: runtime error: invalid memory address or nil pointer dereference", nil},
		{"secrets on this connection", fake{secret: true, fields: token("a")}, status.Unauthenticated,
			`need a connection of security level PrivacyAndIntegrity, and this one has NoSecurity (transport credentials "none")`, nil},
	} {
		for mode, creds := range both(tc.fake) {
			t.Run(tc.name+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, config(&prompt{fake{fields: token("first")}}), creds)
					b := r.start(t)
					synctest.Wait()
					err := b.GotTrailers.Err()
					if status.CodeOf(err) != tc.code || !strings.Contains(fmt.Sprint(err), tc.says) || tc.is != nil && !errors.Is(err, tc.is) {
						t.Errorf("the call ended with %v, want %v with %q", err, tc.code, tc.says)
					}
					if !strings.Contains(fmt.Sprint(err), fmt.Sprintf("client_auth: credentials %T", creds)) || strings.Contains(fmt.Sprint(err), "SECRET") {
						t.Errorf("the error does not name the credentials, or a secret: %v", err)
					}
					if got, want := b.Order(), []string{"headers", "message", "trailers", "sent"}; !slices.Equal(got, want) {
						t.Errorf("the callbacks ran in the order %v, want %v", got, want)
					}
					if r.stream().Canceled() == nil || b.SendHeaders.Len() != 1 {
						t.Errorf("cancelled with %v, and the list has %d pairs", r.stream().Canceled(), b.SendHeaders.Len())
					}
					if p := transport.ProgressOf(err); p != transport.ProgressUnknown {
						t.Errorf("progress %d: the call would be picked again", p)
					}
					logged := r.log.String()
					if panicked := strings.Contains(tc.says, "panicked"); strings.Contains(logged, "stack=") != panicked || strings.Contains(logged, "SECRET") {
						t.Errorf("logged: %s", logged)
					}
					r.over(t)
				})
			})
		}
	}
}

// TestRewritesInvalidStatusFromCallCreds has gRPC core's name: codes that are for
// the server to give become INTERNAL. gRFC A54.
func TestRewritesInvalidStatusFromCallCreds(t *testing.T) {
	reserved := []status.Code{status.InvalidArgument, status.NotFound, status.AlreadyExists, status.FailedPrecondition,
		status.Aborted, status.OutOfRange, status.DataLoss, status.OK}
	for code := status.OK; code <= status.Unauthenticated; code++ {
		want := code
		if slices.Contains(reserved, code) {
			want = status.Internal
		}
		for mode, creds := range both(fake{err: says(code)}) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, clientauth.Config{}, creds)
				b := r.start(t)
				synctest.Wait()
				if err := b.GotTrailers.Err(); status.CodeOf(err) != want || !errors.Is(err, says(code)) {
					t.Errorf("%v, %s: the call ended with %v, want %v", code, mode, err, want)
				}
				r.over(t)
			})
		}
	}
}

// says is an error of that code, which may be OK.
type says status.Code

func (s says) Error() string              { return "no" }
func (s says) GRPCStatus() *status.Status { return status.New(status.Code(s), "no") }

// TestSecretsAreNotAsked: credentials are asked only if all of the call may be
// used on the connection.
func TestSecretsAreNotAsked(t *testing.T) {
	asked := func(context.Context, []string) error { t.Error("they are asked"); return nil }
	for mode, creds := range both(fake{do: asked}) {
		for name, own := range map[string]perRPC{"a secret": &fake{secret: true}, "a panic": panics{}} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, config(creds), own)
				b := r.start(t)
				synctest.Wait()
				want := map[string]status.Code{"a secret": status.Unauthenticated, "a panic": status.Internal}[name]
				if err := b.GotTrailers.Err(); status.CodeOf(err) != want {
					t.Errorf("%s, %s: the call ended with %v, want %v", mode, name, err, want)
				}
				r.over(t)
			})
		}
	}
}

type panics struct{}

func (panics) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}
func (panics) RequireTransportSecurity() bool { panic("on purpose") }

// TestFieldsAreTakenBack: after send_initial_metadata has completed, well or not,
// the list is as it was.
func TestFieldsAreTakenBack(t *testing.T) {
	for mode, creds := range both(fake{fields: map[string]string{"a": "SECRET", "b": "SECRET"}}) {
		for _, err := range []error{nil, errors.New("refused")} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, config(creds), nil)
				r.tr.HoldSends = true
				b := r.start(t)
				synctest.Wait()
				if b.SendHeaders.Len() != 3 {
					t.Errorf("%s: the list has %d pairs while it is sent, want 3", mode, b.SendHeaders.Len())
				}
				r.stream().CompleteSends(err)
				if b.SendHeaders.Len() != 1 || b.Sent.Count() != 1 || b.Sent.Err() != err {
					t.Errorf("%s: %d pairs are left and sending ended %d times with %v", mode, b.SendHeaders.Len(), b.Sent.Count(), b.Sent.Err())
				}
				r.end(t)
			})
		}
	}
}

// TestTrace: what is asked and what came, by type and number, in the chain of
// causes.
func TestTrace(t *testing.T) {
	for mode, creds := range both(fake{fields: token("a")}) {
		synctest.Test(t, func(t *testing.T) {
			rec := trace.NewRecorder(trace.LevelEvents)
			r := newRig(t, config(creds), nil, func(args *callstack.ChannelArgs) { args.Trace = rec.Endpoint("client", "server") })
			r.start(t)
			synctest.Wait()
			r.end(t)
			var chain []string
			var last trace.EventID
			for _, e := range rec.Events() {
				if strings.Contains(fmt.Sprint(e), "SECRET") {
					t.Errorf("%s: a value in %v", mode, e)
				}
				if last != 0 && e.Cause == last || e.Op == "credentials.ask" {
					chain = append(chain, e.Op+" "+e.Text)
					last = e.ID
				}
			}
			want := fmt.Sprintf("credentials.ask %T, credentials.got %T: 1 fields, op.down send_initial_metadata", creds, creds)
			if got := strings.Join(chain, ", "); !strings.HasPrefix(got, want) {
				t.Errorf("%s: the chain is %s, want %s", mode, got, want)
			}
		})
	}
}

// TestDestroyEndsTheWatch, which only calls that were held have begun.
func TestDestroyEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for creds, want := range map[perRPC]string{&prompt{}: "", &fake{}: "start stop"} {
			r := newRig(t, config(creds), nil)
			for range 2 {
				r.start(t)
				synctest.Wait()
				r.end(t)
			}
			r.stack.Destroy()
			var got []string
			for _, op := range r.tr.Ops() {
				if op.StartWatch != nil {
					got = append(got, "start")
				}
				if op.StopWatch != nil {
					got = append(got, "stop")
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%T: %v, want %q", creds, got, want)
			}
		}
	})
}

// TestSameBatchAgain: what one connection has refused goes to another with the
// fields of the credentials once, which are asked for each.
func TestSameBatchAgain(t *testing.T) {
	for mode, creds := range both(fake{fields: token("a")}) {
		synctest.Test(t, func(t *testing.T) {
			var list metadata.List
			list.Append("own", "1")
			for range 3 {
				r := newRig(t, config(creds), nil)
				r.begin(t)
				r.call.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) { b.SendInitialMetadata.MD = &list })
				synctest.Wait()
				if got := r.sent(); got != "own=1 a=SECRET" {
					t.Errorf("%s: sent %q", mode, got)
				}
				r.end(t)
			}
		})
	}
}

// TestMapsStay: nobody changes the map of the credentials.
func TestMapsStay(t *testing.T) {
	fields := map[string]string{"Upper": "1", "b": "2"}
	before := maps.Clone(fields)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, config(&prompt{fake{fields: fields}}, &fake{fields: fields}), nil)
		r.start(t)
		synctest.Wait()
		if got, want := r.sent(), "own=1 b=2 upper=1 b=2 upper=1"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		r.end(t)
	})
	if !maps.Equal(fields, before) {
		t.Errorf("the map is %v", fields)
	}
}
