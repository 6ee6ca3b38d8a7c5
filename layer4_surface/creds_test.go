package surface

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A perCall is credentials with one field, "token".
type perCall struct {
	token  string
	secret bool
	// do, if not nil, is done while they are asked.
	do func(ctx context.Context) error
}

func (p *perCall) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if p.do != nil {
		if err := p.do(ctx); err != nil {
			return nil, err
		}
	}
	return map[string]string{"token": p.token}, nil
}

func (p *perCall) RequireTransportSecurity() bool { return p.secret }

// tokens returns the values of "token" in what a server received.
func tokens(md *metadata.List) string {
	var got []string
	for _, p := range md.Pairs() {
		if p.Key == "token" {
			got = append(got, p.Value)
		}
	}
	return strings.Join(got, " ")
}

// TestCallCredentials: those of the parameters, those that are set afterwards, and
// none, for both ways to create a call.
func TestCallCredentials(t *testing.T) {
	s, q := newFixtureServer(t)
	f := connectFixture(t, s, q, WithPerRPCCredentials(&perCall{token: "a"}), WithPerRPCCredentials(&perCall{token: "b"}))
	registered, err := f.channel.RegisterCall("/test.Service/Method", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		param credentials.PerRPCCredentials
		set   []credentials.PerRPCCredentials
		want  string
	}{
		{"the channel's alone", nil, nil, "a b"},
		{"a parameter", &perCall{token: "c"}, nil, "a b c"},
		{"set", nil, []credentials.PerRPCCredentials{&perCall{token: "c"}}, "a b c"},
		{"set twice", &perCall{token: "c"}, []credentials.PerRPCCredentials{&perCall{token: "d"}, &perCall{token: "e"}}, "a b e"},
		{"set and deleted", &perCall{token: "c"}, []credentials.PerRPCCredentials{&perCall{token: "d"}, nil}, "a b"},
	} {
		for kind, create := range map[string]func(p CallParams) (Call, error){
			"CreateCall":           f.channel.CreateCall,
			"CreateRegisteredCall": func(p CallParams) (Call, error) { return f.channel.CreateRegisteredCall(registered, p) },
		} {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				c, err := create(CallParams{Method: "/test.Service/Method", Queue: f.cq, Credentials: tc.param})
				if err != nil {
					t.Fatal(err)
				}
				for _, creds := range tc.set {
					if e := c.SetCredentials(creds); e != CallOK {
						t.Fatalf("SetCredentials = %v", e)
					}
				}
				req := f.request("request")
				var st clientState
				f.start(c, "client", opSendHeaders("own", "1"), st.opHeaders(), st.opStatus())
				f.expect(f.scq, "request", true)
				if got := tokens(req.Metadata); got != tc.want {
					t.Errorf("the server got the tokens %q, want %q", got, tc.want)
				}
				if e := c.SetCredentials(nil); e != CallErrorAlreadyInvoked {
					t.Errorf("SetCredentials of a call that was started = %v", e)
				}
				if e := req.Call.SetCredentials(nil); e != CallErrorNotOnServer {
					t.Errorf("SetCredentials on a server = %v", e)
				}
				f.start(req.Call, "status", opStatus(status.OK, ""))
				f.expect(f.scq, "status", true)
				f.expect(f.cq, "client", true)
				st.wantStatus(t, status.OK, "")
				c.Release()
				req.Call.Release()
				if e := c.SetCredentials(nil); e != CallErrorReleased {
					t.Errorf("SetCredentials of a call that was released = %v", e)
				}
			})
		}
	}
}

// TestSetCredentialsRace: what was accepted is sent, and what was refused is not,
// with the start of the call at any moment.
func TestSetCredentialsRace(t *testing.T) {
	f := newFixture(t)
	for i := range 200 {
		c := f.call(CallParams{})
		req := f.request("request")
		var st clientState
		var wg sync.WaitGroup
		var accepted [2]CallError
		for n := range accepted {
			wg.Go(func() { accepted[n] = c.SetCredentials(&perCall{token: fmt.Sprint(n)}) })
		}
		wg.Go(func() { f.start(c, "client", opSendHeaders(), st.opHeaders(), st.opStatus()) })
		wg.Wait()
		f.expect(f.scq, "request", true)
		got := tokens(req.Metadata)
		switch {
		case accepted[0] != CallOK && accepted[1] != CallOK && got != "",
			accepted[0] == CallOK && accepted[1] != CallOK && got != "0",
			accepted[0] != CallOK && accepted[1] == CallOK && got != "1",
			accepted[0] == CallOK && accepted[1] == CallOK && got != "0" && got != "1":
			t.Fatalf("round %d: SetCredentials = %v, and the server got %q", i, accepted, got)
		}
		f.start(req.Call, "status", opStatus(status.OK, ""))
		f.expect(f.scq, "status", true)
		f.expect(f.cq, "client", true)
		c.Release()
		req.Call.Release()
	}
}

// TestStartWaitsForSetCredentials: who starts a call while its credentials are
// being set sends them.
func TestStartWaitsForSetCredentials(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	req := f.request("request")
	var st clientState
	c.c.state.Or(stateCredentials) // as SetCredentials does
	starting, started := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(started)
		close(starting)
		f.start(c, "client", opSendHeaders(), st.opHeaders(), st.opStatus())
	}()
	<-starting
	for range 1000 {
		runtime.Gosched()
	}
	c.c.stack.Args.Credentials = &perCall{token: "1"}
	c.c.state.And(^stateCredentials)
	<-started
	f.expect(f.scq, "request", true)
	if got := tokens(req.Metadata); got != "1" {
		t.Errorf("the server got the tokens %q", got)
	}
	f.start(req.Call, "status", opStatus(status.OK, ""))
	f.expect(f.scq, "status", true)
	f.expect(f.cq, "client", true)
	c.Release()
	req.Call.Release()
}

// TestSecretsInPlainText: a channel is not made whose credentials could not be
// sent, and says what to do; one whose calls bring them ends those.
func TestSecretsInPlainText(t *testing.T) {
	secret := WithPerRPCCredentials(credentials.NewBearerToken("SECRET"))
	client, server := inproc.Pair(inproc.Config{})
	defer server.Close()
	defer client.Close()
	for name, tc := range map[string]struct {
		create func() (*Channel, error)
		want   string
	}{
		"a channel with a name": {func() (*Channel, error) {
			return NewChannel("dns:///a.test", WithCredentials(credentials.NewInsecure()), secret)
		}, `surface: channel to "dns:///a.test": option WithPerRPCCredentials: credentials *credentials.bearerToken are secrets that need a secure connection, ` +
			`and the transport credentials are plain text; use credentials.NewTLS, or credentials whose RequireTransportSecurity is false`},
		"a direct channel": {func() (*Channel, error) { return NewDirectChannel(client, secret) },
			`surface: channel to "inproc:inproc": option WithPerRPCCredentials: credentials *credentials.bearerToken: the credentials of the call need a connection ` +
				`of security level PrivacyAndIntegrity, and this one has NoSecurity (transport credentials "none")`},
		"no credentials": {func() (*Channel, error) {
			return NewChannel("dns:///a.test", WithCredentials(credentials.NewTLS(nil)), WithPerRPCCredentials(nil))
		}, `surface: channel to "dns:///a.test": callstack: CLIENT_SUBCHANNEL: filter "client_auth": option Credentials: number 1 of 1 is nil`},
		"no credentials of a direct channel": {func() (*Channel, error) { return NewDirectChannel(client, WithPerRPCCredentials(nil)) },
			`surface: channel to "inproc:inproc": callstack: CLIENT_DIRECT: filter "client_auth": option Credentials: number 1 of 1 is nil`},
	} {
		if ch, err := tc.create(); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v\n%v, want\n%s", name, ch, err, tc.want)
		}
	}
	ch, err := NewChannel("dns:///a.test", WithCredentials(credentials.NewTLS(nil)), secret)
	if err != nil {
		t.Fatalf("over TLS: %v", err)
	}
	ch.Close()
}

// secure is what a handshake found out that made a connection secure.
type secure struct{}

func (secure) AuthType() string                         { return "test" }
func (secure) SecurityLevel() credentials.SecurityLevel { return credentials.PrivacyAndIntegrity }

// TestSecretsOnASecureConnection: a direct channel over HTTP/2 asks the connection.
func TestSecretsOnASecureConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		s, scq := newFixtureServer(t, WithLogger(quietLogger()))
		s.Start()
		go s.Serve(lis)
		defer s.Close()
		conn, err := lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tr, err := http2.Connect(t.Context(), conn, secure{}, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ch, err := NewDirectChannel(tr, WithPerRPCCredentials(credentials.NewBearerToken("SECRET")))
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		c, err := ch.CreateCall(CallParams{Method: "/s/m", Credentials: &perCall{token: "1", secret: true}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		var req RequestedCall
		s.RequestCall(&req, nil, scq, "request")
		c.StartBatch([]Op{opSendHeaders(), {Type: RecvStatusOnClient}}, "call")
		scq.Next(testDeadline())
		if got, _ := req.Metadata.Get("authorization"); got != "Bearer SECRET" || tokens(req.Metadata) != "1" {
			t.Errorf("the server got %v", req.Metadata)
		}
		req.Call.StartBatch([]Op{opStatus(status.OK, "")}, "status")
		c.Pluck("call", nil)
		req.Call.Pluck("status", nil)
		req.Call.Release()
	})
}

// TestCallEndsWhileCredentialsAreAsked: by its deadline, a cancellation, a loss of
// the connection for good, or the end of the channel, which does not wait for
// credentials that ignore all that.
func TestCallEndsWhileCredentialsAreAsked(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(ch *Channel, c Call, s *Server)
		code status.Code
		is   error
	}{
		{"the deadline", func(*Channel, Call, *Server) { <-time.After(time.Minute) }, status.DeadlineExceeded, context.DeadlineExceeded},
		{"a cancellation", func(_ *Channel, c Call, _ *Server) { c.Cancel() }, status.Canceled, nil},
		{"a release", func(_ *Channel, c Call, _ *Server) { c.Release() }, status.Canceled, nil},
		{"the server goes", func(_ *Channel, _ Call, s *Server) { s.Close() }, status.Unavailable, nil},
		{"the channel is closed", func(ch *Channel, _ Call, _ *Server) { ch.Close() }, status.Canceled, nil},
	} {
		for _, direct := range []bool{false, true} {
			for _, deaf := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/direct=%t/deaf=%t", tc.name, direct, deaf), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						asked, answer := make(chan context.Context, 10), make(chan struct{})
						creds := &perCall{token: "1", do: func(ctx context.Context) error {
							asked <- ctx
							if deaf {
								<-answer
								return nil
							}
							<-ctx.Done()
							return ctx.Err()
						}}
						ch, s := credsChannel(t, direct)
						ended := make(chan bool, 1)
						var st clientState
						c, err := ch.CreateCall(CallParams{Method: "/s/m", Deadline: time.Now().Add(time.Minute), Credentials: creds})
						if err != nil {
							t.Fatal(err)
						}
						if e := c.StartBatchAndExecute([]Op{opSendHeaders(), opSend("x"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()},
							functorFunc(func(ok bool) { ended <- ok })); e != CallOK {
							t.Fatal(e)
						}
						ctx := <-asked
						tc.end(ch, c, s)
						<-ended
						if st.status.Code != tc.code || tc.is != nil && !errors.Is(st.status.Err, tc.is) {
							t.Errorf("status = %v %q, want %v", st.status.Code, st.status.Message, tc.code)
						}
						synctest.Wait()
						if ctx.Err() == nil {
							t.Error("the context of the credentials goes on")
						}
						close(answer)
						c.Release()
						ch.Close()
						s.Close()
					})
				})
			}
		}
	}
}

// credsChannel returns a channel to a server that takes no calls, over HTTP/2.
func credsChannel(t *testing.T, direct bool) (*Channel, *Server) {
	t.Helper()
	lis := memconn.Listen()
	s, _ := newFixtureServer(t, WithLogger(quietLogger()))
	s.Start()
	go s.Serve(lis)
	if !direct {
		ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
		if err := ch.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		return ch, s
	}
	conn, err := lis.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := http2.Connect(t.Context(), conn, nil, http2.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := NewDirectChannel(tr)
	if err != nil {
		t.Fatal(err)
	}
	return ch, s
}
