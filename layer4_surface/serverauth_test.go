package surface

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// bearer is a hook that knows one token, and takes it out of the metadata.
func bearer(_ context.Context, r *serverauth.Request) error {
	token, _ := r.Metadata.Get("authorization")
	if token != "Bearer alice's" {
		return status.Errorf(status.Unauthenticated, "%s needs a bearer token", r.Path)
	}
	r.Metadata.Delete("authorization")
	r.Principal = "alice"
	return nil
}

// overBoth runs f in bubbles, with the name of each transport.
func overBoth(t *testing.T, f func(t *testing.T, over string)) {
	for _, over := range []string{"inproc", "HTTP2"} {
		t.Run(over, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, over) })
		})
	}
}

// TestServerAuth: calls that the hook lets in come with who makes them, in every
// way in which an application gets calls; of the others it hears nothing and none
// of their messages is asked for.
func TestServerAuth(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		for _, inline := range []bool{true, false} {
			counter, reads := new(countingFilter), new(readCounter)
			g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: bearer, Inline: inline}),
				WithFilter(stacks.Extra{Filter: counter}), WithFilter(stacks.Extra{Filter: reads, Before: []string{"message_size"}}))
			ch := connectBy(t, g.s, over)
			for _, method := range gateMethods {
				what := fmt.Sprintf("inline %t, %s", inline, method)
				if st, who := g.knock(ch, method, CallParams{}, "authorization", "Bearer alice's").end(); st.Code != status.OK || who != "alice" {
					t.Errorf("%s: with the token %v, answered %q; want OK to alice", what, st, who)
				}
				heard, read := g.calls.Load(), reads.reads.Load()
				st, _ := g.knock(ch, method, CallParams{}, "authorization", "Bearer bob's").end()
				if st.Code != status.Unauthenticated || st.Message != method+" needs a bearer token" {
					t.Errorf("%s: without a token %v, want UNAUTHENTICATED", what, st)
				}
				if g.calls.Load() != heard || reads.reads.Load() != read {
					t.Errorf("%s: the application heard of a call that was refused, or its message was asked for", what)
				}
			}
			g.close(ch)
			recycles(t, counter)
		}
	})
}

// TestServerAuthWaits: while the hook is asked the call can end in every way, and
// then it has ended; the hook is told by its context, and what it says is dropped.
func TestServerAuthWaits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		params func() CallParams
		end    func(g *gate, k *knock, ch *Channel)
		code   status.Code
		cause  error // of the hook's context
	}{
		{"the deadline passes", func() CallParams { return CallParams{Deadline: time.Now().Add(time.Second)} },
			//bars:allow sleep it runs in a bubble
			func(*gate, *knock, *Channel) { time.Sleep(2 * time.Second) }, status.DeadlineExceeded, context.DeadlineExceeded},
		{"the client cancels", nil, func(_ *gate, k *knock, _ *Channel) { k.call.Cancel() }, status.Canceled, context.Canceled},
		{"the connection is lost", nil, func(_ *gate, _ *knock, ch *Channel) { go ch.Close() }, status.Canceled, context.Canceled},
		{"the server cuts everything off", nil, func(g *gate, _ *knock, _ *Channel) { go g.s.Close() }, status.Unavailable, context.Canceled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, over string) {
				for _, obedient := range []bool{true, false} {
					counter := new(countingFilter)
					var asked context.Context
					answer := make(chan error)
					hook := func(ctx context.Context, _ *serverauth.Request) error {
						asked = ctx
						if obedient {
							<-ctx.Done()
							return status.Error(status.PermissionDenied, "too late to be heard")
						}
						return <-answer
					}
					g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: hook}), WithFilter(stacks.Extra{Filter: counter}))
					ch := connectBy(t, g.s, over)
					p := CallParams{}
					if tc.params != nil {
						p = tc.params()
					}
					k := g.knock(ch, gateMethods[0], p)
					synctest.Wait()
					if asked == nil || asked.Err() != nil {
						t.Fatal("the hook is not being asked")
					}
					tc.end(g, k, ch)
					if st, _ := k.end(); st.Code != tc.code {
						t.Errorf("obedient %t: the client's status is %v, want %v", obedient, st, tc.code)
					}
					synctest.Wait()
					if !errors.Is(asked.Err(), tc.cause) {
						t.Errorf("obedient %t: the context of the hook: %v, want %v", obedient, asked.Err(), tc.cause)
					}
					if begun, ended := counter.counts(); (begun == ended) != obedient {
						t.Errorf("obedient %t: %d calls have begun, and the blocks of %d are free", obedient, begun, ended)
					}
					g.close(ch)
					if !obedient {
						answer <- nil
					}
					recycles(t, counter)
					if g.calls.Load() != 0 {
						t.Error("the application heard of the call")
					}
				}
			})
		})
	}
}

// TestServerAuthDrains: draining waits for a call that the hook is asked about.
func TestServerAuthDrains(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		for _, method := range gateMethods {
			hook := func(context.Context, *serverauth.Request) error {
				time.Sleep(time.Second)
				return nil
			}
			g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: hook}))
			ch := connectBy(t, g.s, over)
			k := g.knock(ch, method, CallParams{})
			synctest.Wait()
			start, ended := time.Now(), make(chan error)
			go func() { ended <- g.s.Shutdown(t.Context()) }()
			// Slots are taken back when draining begins; allocators go on.
			want := status.Unavailable
			if method == "/allocated/Method" {
				want = status.OK
			}
			if st, _ := k.end(); st.Code != want {
				t.Errorf("%s: the call ended with %v, want %v", method, st, want)
			}
			if err := <-ended; err != nil || time.Since(start) != time.Second {
				t.Errorf("%s: Shutdown = %v after %v, want nil after 1s", method, err, time.Since(start))
			}
			g.close(ch)
		}
	})
}

// TestServerAuthAfterTheChecks: requests that are not gRPC's, or come too late, are
// refused before the hook or a limit looks at them: a rule for "/any/Method" is not
// passed by with "any/Method" (CVE-2026-33186).
func TestServerAuthAfterTheChecks(t *testing.T) {
	for name, script := range map[string]string{
		"a path without a slash": `send HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=any/Method content-type=application/grpc te=trailers
await HEADERS stream=1 :status=404 grpc-status=12`,
		"a content-type of something else": `send HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/any/Method content-type=text/plain te=trailers
await HEADERS stream=1 :status=415 grpc-status=2`,
		"a deadline that is over": `send HEADERS stream=1 request=/any/Method grpc-timeout=0n
await HEADERS stream=1 grpc-status=4`,
		"a coding that nobody knows": `send HEADERS stream=1 request=/any/Method grpc-encoding=snappy
await HEADERS stream=1 grpc-status=12`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := func(_ context.Context, r *serverauth.Request) error {
					t.Errorf("the hook was asked about %q", r.Path)
					return nil
				}
				// One call takes the only token there is for a day.
				g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: hook, Inline: true}), WithLimit(limit.Config{Rate: 1e-5}))
				lis := memconn.Listen()
				go g.s.Serve(lis)
				nc, err := lis.Dial(t.Context())
				if err == nil {
					script := "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS PING\n" + script + "\n" + strings.ReplaceAll(script, "stream=1", "stream=3") + "\n"
					_, err = framescript.MustParse(name, script).Run(t.Context(), nc, framescript.Options{})
				}
				if err != nil || g.calls.Load() != 0 {
					t.Errorf("%v, and the application heard of %d calls", err, g.calls.Load())
				}
				g.s.Close()
				g.q.Shutdown()
			})
		})
	}
}

// TestBadServerAuth: a server that was to ask somebody and has nobody to ask is not
// made, nor one that was to ask two, of whom one would not be heard.
func TestBadServerAuth(t *testing.T) {
	refuse := WithServerAuth(serverauth.Config{Process: func(context.Context, *serverauth.Request) error { return errors.New("no") }})
	letIn := WithServerAuth(serverauth.Config{Process: func(context.Context, *serverauth.Request) error { return nil }})
	for _, tc := range []struct {
		opts []ServerOption
		want string
	}{
		{[]ServerOption{WithServerAuth(serverauth.Config{})},
			`surface: NewServer: callstack: SERVER: filter "server_auth": option Process is nil, want a function that decides about calls`},
		{[]ServerOption{refuse, letIn}, "surface: NewServer: option WithServerAuth was given 2 times, want one hook, which asks the others"},
	} {
		func() {
			defer func() {
				if got := recover(); got != tc.want {
					t.Errorf("NewServer panicked with\n%v, want\n%v", got, tc.want)
				}
			}()
			NewServer(tc.opts...)
		}()
	}
}

// TestServerAuthTraced: events of calls that are asked about come in one order
// with those of the transport, which goes on meanwhile.
func TestServerAuthTraced(t *testing.T) {
	overBoth(t, func(t *testing.T, over string) {
		rec := trace.NewRecorder(trace.LevelEvents)
		g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: bearer}), WithTrace(rec.Endpoint("server", "client")))
		ch := connectBy(t, g.s, over)
		for range 20 {
			for _, token := range []string{"Bearer alice's", "secret of bob"} {
				k := g.knock(ch, gateMethods[0], CallParams{}, "authorization", token)
				k.call.Cancel() // or not, if it has ended
				k.end()
			}
			g.knock(ch, gateMethods[1], CallParams{}, "authorization", "Bearer alice's").end()
			g.knock(ch, gateMethods[2], CallParams{}, "authorization", "secret of bob").end()
		}
		g.close(ch)
		ops := map[string]int{}
		ends := map[trace.EventID]bool{} // recv_trailing_metadata on its way up
		for _, e := range rec.Events() {
			ends[e.ID] = e.Op == "op.up" && e.Text == "recv_trailing_metadata"
			if e.Op == "call.status" && !ends[e.Cause] {
				t.Errorf("the end of call %d is not caused by the end of its stream", e.Call)
			}
			ops[e.Component+" "+e.Op]++
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, "secret") || strings.Contains(text, "alice's") {
				t.Errorf("an event has the token: %s", text)
			}
		}
		if ops["filter:server_auth auth.ask"] < 40 || ops["filter:server_auth auth.refuse"] < 20 {
			t.Errorf("%d times auth.ask, %d times auth.refuse", ops["filter:server_auth auth.ask"], ops["filter:server_auth auth.refuse"])
		}
	})
}

// TestServerAuthRapidReset: a client that makes calls and resets them at once has
// no more hooks running than it may have streams, although they ignore their
// contexts (CVE-2023-44487). The rest is refused without being asked about.
func TestServerAuthRapidReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams, calls = 16, 3000
		var running, most, asked atomic.Int32
		release := make(chan struct{})
		hook := func(context.Context, *serverauth.Request) error {
			asked.Add(1)
			n := running.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-release
			running.Add(-1)
			return nil
		}
		counter := new(countingFilter)
		g := newGate(t, answerGate, WithServerAuth(serverauth.Config{Process: hook}), WithFilter(stacks.Extra{Filter: counter}),
			WithHTTP2(http2.Config{MaxStreams: streams, RapidResets: 10 * calls, FaultBurst: 10 * calls}))
		lis := memconn.Listen()
		go g.s.Serve(lis)
		ran := make(chan error)
		go func() {
			nc, err := lis.Dial(t.Context())
			if err == nil {
				_, err = resets.Run(t.Context(), nc, framescript.Options{})
			}
			ran <- err
		}()
		synctest.Wait()
		if got := asked.Load(); got != streams || most.Load() != streams {
			t.Errorf("%d hooks were asked, %d of them at once, want %d", got, most.Load(), streams)
		}
		if begun, ended := counter.counts(); begun-ended != streams {
			t.Errorf("%d blocks are in use, want %d", begun-ended, streams)
		}
		close(release)
		synctest.Wait()
		if running.Load() != 0 || g.calls.Load() != 0 {
			t.Errorf("after their release %d hooks are running, and the application heard of %d calls", running.Load(), g.calls.Load())
		}
		recycles(t, counter)
		time.Sleep(time.Second) // the client's, who then makes one more call
		synctest.Wait()
		if asked.Load() != streams+1 {
			t.Errorf("%d hooks were asked, want %d", asked.Load(), streams+1)
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
		g.s.Close()
		g.q.Shutdown()
	})
}

// resets is a client that makes calls and resets them, and later one more.
var resets = framescript.MustParse("resets.txt", `client
send PREFACE
send SETTINGS
answer SETTINGS PING
repeat 3000 id=1+2
  send HEADERS stream=$id request=/any/Method
  send RST_STREAM stream=$id code=CANCEL
end
wait 1s
send HEADERS stream=6001 request=/any/Method
send RST_STREAM stream=6001 code=CANCEL
wait 1s
`)
