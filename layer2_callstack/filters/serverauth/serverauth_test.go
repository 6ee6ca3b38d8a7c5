package serverauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
	"weak"

	"google.golang.org/protobuf/types/known/durationpb"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
)

// A process is a hook.
type process = func(ctx context.Context, r *serverauth.Request) error

func letIn(context.Context, *serverauth.Request) error { return nil }

// bothWays runs f with hooks that are run inline and with such that are not.
func bothWays(t *testing.T, f func(t *testing.T, inline bool)) {
	for _, inline := range []bool{true, false} {
		t.Run(fmt.Sprintf("inline=%t", inline), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, inline) })
		})
	}
}

func TestContract(t *testing.T) {
	for _, inline := range []bool{true, false} {
		t.Run(fmt.Sprintf("inline=%t", inline), func(t *testing.T) {
			callstacktest.Run(t, callstacktest.Server, serverauth.New(serverauth.Config{Process: letIn, Inline: inline}))
		})
	}
}

// A fixture is one call block above a transport, and what the filter logs.
type fixture struct {
	t    *testing.T
	tr   *callstacktest.Transport
	call *callstacktest.Call
	logs bytes.Buffer
}

func setup(t *testing.T, cfg serverauth.Config) *fixture {
	t.Helper()
	f := &fixture{t: t, tr: &callstacktest.Transport{}}
	b := callstack.NewBuilder("TEST")
	b.Add(serverauth.New(cfg))
	b.Add(connected.New()).Terminal()
	logger := slog.New(slog.NewTextHandler(&f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := b.Build(callstack.ChannelArgs{Transport: f.tr, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	f.call = callstacktest.NewCall(s)
	return f
}

// begin starts a call as a server does.
func (f *fixture) begin() (*callstacktest.Batch, *callstacktest.Stream) {
	f.t.Helper()
	if err := f.call.Begin(callstacktest.Server.Args()); err != nil {
		f.t.Fatal(err)
	}
	b := f.call.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
	return b, f.tr.Streams()[0]
}

// headers lets the headers of a call with a token come.
func headers(st *callstacktest.Stream) {
	st.Headers(func(rim *transport.RecvInitialMetadata) {
		callstacktest.Server.FillHeaders(rim)
		rim.MD.Authority = "example.com"
		rim.MD.Append("authorization", "Bearer alice's")
	}, nil)
}

// recycled ends the use of the block and checks that nobody keeps it.
func (f *fixture) recycled(use int) {
	f.t.Helper()
	f.call.Unref()
	synctest.Wait()
	if got := f.call.Recycled(); got != use {
		f.t.Errorf("the block was recycled %d times, want %d", got, use)
	}
}

// TestLetIn: the hook sees the call, and what it leaves behind goes up with the
// headers.
func TestLetIn(t *testing.T) {
	bothWays(t, func(t *testing.T, inline bool) {
		f := setup(t, serverauth.Config{Inline: inline, Process: func(_ context.Context, r *serverauth.Request) error {
			if r.Path != "/service/method" || r.Authority != "example.com" || r.Peer.String() != "192.0.2.1:443" {
				t.Errorf("asked about %q at %q from %v", r.Path, r.Authority, r.Peer)
			}
			token, _ := r.Metadata.Get("authorization")
			if r.Principal != nil {
				t.Errorf("the principal of an earlier call is there: %v", r.Principal)
			}
			r.Principal = strings.TrimSuffix(strings.TrimPrefix(token, "Bearer "), "'s")
			r.Metadata.Delete("authorization")
			return nil
		}})
		for use := range 2 {
			b, st := f.begin()
			if b.GotHeaders.Count() != 0 {
				t.Fatal("the headers went up before they came")
			}
			headers(st)
			synctest.Wait()
			if err := b.GotHeaders.Err(); err != nil || b.GotHeaders.Count() != 1 {
				t.Fatalf("recv_initial_metadata ended %d times with %v", b.GotHeaders.Count(), err)
			}
			if got := f.call.Stack.Args.Principal; got != "alice" {
				t.Errorf("the principal is %v, want alice", got)
			}
			if b.RecvHeaders.Len() != 0 {
				t.Errorf("the token went up: %v", b.RecvHeaders)
			}
			st.Trailers(nil, nil)
			if err := b.GotTrailers.Err(); err != nil || b.GotTrailers.Count() != 1 {
				t.Errorf("recv_trailing_metadata ended %d times with %v", b.GotTrailers.Count(), err)
			}
			f.recycled(use + 1)
		}
	})
}

// TestForgotten: a block that waits for its next call keeps nothing of the last.
func TestForgotten(t *testing.T) {
	var known weak.Pointer[[64]byte]
	f := setup(t, serverauth.Config{Inline: true, Process: func(_ context.Context, r *serverauth.Request) error {
		u := new([64]byte)
		known, r.Principal = weak.Make(u), u
		return nil
	}})
	_, st := f.begin()
	headers(st)
	st.Trailers(nil, nil)
	f.call.Unref()
	runtime.GC()
	if known.Value() != nil || f.call.Recycled() != 1 {
		t.Errorf("the principal is kept, and the block was recycled %d times", f.call.Recycled())
	}
	runtime.KeepAlive(f)
}

// TestRefusals: what the client is told, and what stays here.
func TestRefusals(t *testing.T) {
	detailed, err := status.New(status.PermissionDenied, "not you").WithDetails(durationpb.New(7))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ä", 2000)
	for _, tc := range []struct {
		name   string
		hook   process
		code   status.Code
		told   string // to the client
		logged string
		level  string
	}{
		{"a status", func(context.Context, *serverauth.Request) error {
			return status.Error(status.Unauthenticated, "no bearer token")
		}, status.Unauthenticated, "no bearer token", "code=Unauthenticated", "DEBUG"},
		{"a status with details", func(context.Context, *serverauth.Request) error { return detailed.Err() },
			status.PermissionDenied, "not you", "code=PermissionDenied", "DEBUG"},
		{"a status that is wrapped", func(context.Context, *serverauth.Request) error {
			return fmt.Errorf("quota of alice at 10.0.0.3: %w", status.Error(status.ResourceExhausted, "try tomorrow"))
		}, status.ResourceExhausted, "try tomorrow", "code=ResourceExhausted", "DEBUG"},
		{"a server that the hook cannot reach", func(context.Context, *serverauth.Request) error {
			lost := &transport.Error{Code: status.Unavailable, Layer: "client_channel", Reason: "no connection to 10.0.0.3:5432"}
			return fmt.Errorf("asking: %w", lost)
		}, status.Unavailable, "the server failed to find out who calls", "10.0.0.3", "DEBUG"},
		{"an error that is no status", func(context.Context, *serverauth.Request) error {
			return errors.New("dial tcp 10.0.0.3:5432: connection refused")
		}, status.Unauthenticated, "the server did not accept who calls", "10.0.0.3", "DEBUG"},
		{"a timeout of the hook's own", func(context.Context, *serverauth.Request) error { return context.DeadlineExceeded },
			status.Unauthenticated, "the server did not accept who calls", "deadline exceeded", "DEBUG"},
		{"an error that claims to be OK", func(context.Context, *serverauth.Request) error { return okError{} },
			status.Unauthenticated, "the server did not accept who calls", "contradiction", "DEBUG"},
		{"a long message", func(context.Context, *serverauth.Request) error { return status.Error(status.Unauthenticated, long) },
			status.Unauthenticated, strings.Repeat("ä", 510) + "…", "code=Unauthenticated", "DEBUG"},
		{"a message of a byte too many", func(context.Context, *serverauth.Request) error {
			return status.Error(status.Unauthenticated, long[:1022]+"xxx")
		}, status.Unauthenticated, strings.Repeat("ä", 510) + "…", "code=Unauthenticated", "DEBUG"},
		{"a panic", func(_ context.Context, r *serverauth.Request) error {
			panic(fmt.Errorf("whose is %v", r.Metadata.MD()))
		},
			status.Internal, "the server failed to find out who calls", "panic=*errors.errorString", "WARN"},
		{"a panic with a token", func(_ context.Context, r *serverauth.Request) error {
			token, _ := r.Metadata.Get("authorization")
			panic("whose is " + token)
		}, status.Internal, "the server failed to find out who calls", "panic=string", "WARN"},
		{"a nil pointer", func(_ context.Context, r *serverauth.Request) error {
			r.Peer = nil
			return errors.New(r.Peer.Addr.String())
		}, status.Internal, "the server failed to find out who calls", "nil pointer", "WARN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, inline bool) {
				f := setup(t, serverauth.Config{Process: tc.hook, Inline: inline})
				b, st := f.begin()
				headers(st)
				synctest.Wait()
				for name, err := range map[string]error{
					"recv_initial_metadata": b.GotHeaders.Err(), "recv_trailing_metadata": b.GotTrailers.Err(), "the stream": st.Canceled(),
				} {
					var e *transport.Error
					if status.CodeOf(err) != tc.code || !errors.As(err, &e) || e.Layer != serverauth.Name {
						t.Errorf("%s ended with %v, want %v of the filter", name, err, tc.code)
					}
					if want := "server_auth: the call was refused with " + tc.code.String(); err.Error() != want {
						t.Errorf("%s ended with %q, want %q: traces print it", name, err, want)
					}
				}
				if got := strings.Join(b.Order(), " "); got != "headers trailers" {
					t.Errorf("callbacks ran in the order %q", got)
				}
				o := transport.OutcomeOf(st.Canceled(), f.call.Stack.Args.Deadline)
				if o.Code != tc.code || o.Told != tc.told || !utf8.ValidString(o.Told) || len(o.Told) > 1024 {
					t.Errorf("the client is told %v %q, want %v %q", o.Code, o.Told, tc.code, tc.told)
				}
				if (o.Details != "") != (tc.name == "a status with details") {
					t.Errorf("the client is told %d bytes of details", len(o.Details))
				}
				got := f.logs.String()
				if !strings.Contains(got, "level="+tc.level) || !strings.Contains(got, tc.logged) || strings.Contains(got, "alice") {
					t.Errorf("logged %s\nwant level %s and %q", got, tc.level, tc.logged)
				}
				if strings.Contains(got, tc.told) {
					t.Errorf("logged %s, which has what the client is told", got)
				}
				f.recycled(1)
			})
		})
	}
}

// okError contradicts itself.
type okError struct{}

func (okError) Error() string              { return "a contradiction" }
func (okError) GRPCStatus() *status.Status { return nil }

// TestHookEndsItsGoroutine: that is no answer, and lets nobody in.
func TestHookEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, serverauth.Config{Process: func(context.Context, *serverauth.Request) error {
			runtime.Goexit()
			return nil
		}})
		b, st := f.begin()
		headers(st)
		synctest.Wait()
		if got := status.CodeOf(b.GotHeaders.Err()); got != status.Internal || status.CodeOf(st.Canceled()) != status.Internal {
			t.Errorf("recv_initial_metadata ended with %v, the stream with %v, want INTERNAL", b.GotHeaders.Err(), st.Canceled())
		}
		if !strings.Contains(f.logs.String(), "ended its goroutine") {
			t.Errorf("logged %q", &f.logs)
		}
		f.recycled(1)
	})
}

// TestPanicsAreFewInTheLog: whoever finds out how to make a hook panic cannot fill
// the log by it, from however many connections.
func TestPanicsAreFewInTheLog(t *testing.T) {
	bothWays(t, func(t *testing.T, inline bool) {
		var logs bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&logs, nil))
		b := callstack.NewBuilder("TEST")
		b.Add(serverauth.New(serverauth.Config{Inline: inline, Process: func(context.Context, *serverauth.Request) error { panic("on purpose") }}))
		b.Add(connected.New()).Terminal()
		panics := func(calls int) string {
			logs.Reset()
			for range calls {
				tr := &callstacktest.Transport{} // a connection
				s, err := b.Build(callstack.ChannelArgs{Transport: tr, Logger: logger})
				if err != nil {
					t.Fatal(err)
				}
				f := &fixture{t: t, tr: tr, call: callstacktest.NewCall(s)}
				_, st := f.begin()
				headers(st)
				f.recycled(1)
			}
			return logs.String()
		}
		for _, others := range []string{"others=0", "others=4"} {
			if got := panics(5); strings.Count(got, "panicked") != 1 || strings.Count(got, "stack=") != 1 || !strings.Contains(got, others) {
				t.Errorf("5 panics are logged as\n%swant one line with %s", got, others)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// TestFailedHeaders: nobody is asked about a call that a filter below has refused.
func TestFailedHeaders(t *testing.T) {
	bothWays(t, func(t *testing.T, inline bool) {
		f := setup(t, serverauth.Config{Inline: inline, Process: func(context.Context, *serverauth.Request) error {
			t.Error("the hook was asked")
			return nil
		}})
		b, st := f.begin()
		why := status.Error(status.Unimplemented, "by a filter below")
		st.Headers(nil, why)
		st.Trailers(nil, why)
		synctest.Wait()
		if b.GotHeaders.Err() != why || b.GotTrailers.Err() != why || f.logs.Len() != 0 {
			t.Errorf("ended with %v and %v, logged %q", b.GotHeaders.Err(), b.GotTrailers.Err(), &f.logs)
		}
		f.recycled(1)
	})
}

func TestBadConfig(t *testing.T) {
	const want = "option Process is nil, want a function that decides about calls"
	b := callstack.NewBuilder("TEST")
	b.Add(serverauth.New(serverauth.Config{Inline: true}))
	b.Add(connected.New()).Terminal()
	if _, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}}); err == nil || err.Error() != `callstack: TEST: filter "server_auth": `+want {
		t.Errorf("Build failed with %v", err)
	}
	if err := (serverauth.Config{}).Validate(); err == nil || err.Error() != want {
		t.Errorf("Validate returned %v", err)
	}
}

func TestPrincipalOfContext(t *testing.T) {
	ctx := serverauth.NewContext(t.Context(), "alice")
	if got := serverauth.FromContext(ctx); got != "alice" {
		t.Errorf("FromContext returned %v", got)
	}
	if got := serverauth.FromContext(t.Context()); got != nil {
		t.Errorf("FromContext returned %v where there is none", got)
	}
}
