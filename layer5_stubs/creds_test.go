package stubs_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A token is credentials of calls that send "token", asked on a goroutine.
type token struct {
	value string
	err   error
	asked atomic.Int32
}

func (t *token) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	t.asked.Add(1)
	return map[string]string{"token": t.value}, t.err
}

func (*token) RequireTransportSecurity() bool { return false }

// A prompt token answers at once.
type promptToken struct{ token }

func (*promptToken) NonBlocking() bool { return true }

// seen keeps the tokens that came to a server.
type seen struct {
	mu     sync.Mutex
	tokens []string
}

func (s *seen) hook(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, strings.Join(md.Get("token"), " "))
	return nil
}

func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.tokens = nil }()
	return s.tokens
}

// TestPerRPCCredentials: the channel's, then the call's, in calls of both kinds,
// over HTTP/2 and in the process.
func TestPerRPCCredentials(t *testing.T) {
	var s seen
	impl := &echo{hook: s.hook}
	dialOptions := []stubs.DialOption{stubs.WithPerRPCCredentials(&token{value: "a"}), stubs.WithPerRPCCredentials(&promptToken{token{value: "b"}}),
		stubs.WithDefaultCallOptions(stubs.PerRPCCredentials(&token{value: "default"}))}
	overHTTP := newFixture(t, impl, options{dial: dialOptions})
	clientEnd, serverEnd := inproc.Pair(inproc.Config{})
	if err := overHTTP.server.ServeTransport(serverEnd); err != nil {
		t.Fatal(err)
	}
	inProcess, err := stubs.NewClientOn(clientEnd, dialOptions...)
	if err != nil {
		t.Fatal(err)
	}
	defer inProcess.Close()
	for name, cc := range map[string]*stubs.ClientConn{"http2": overHTTP.cc, "inproc": inProcess} {
		client := testpb.NewTestClient(cc)
		for _, tc := range []struct {
			opts []stubs.CallOption
			want string
		}{
			{nil, "a b default"},
			{[]stubs.CallOption{stubs.PerRPCCredentials(&promptToken{token{value: "c"}})}, "a b c"},
			{[]stubs.CallOption{stubs.PerRPCCredentials(nil)}, "a b"},
		} {
			if _, err := client.Unary(within(t), &testpb.Request{}, tc.opts...); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			stream, err := client.ServerStream(within(t), &testpb.Request{}, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err.Error() != "EOF" {
				t.Errorf("%s: %v", name, err)
			}
			if got := s.take(); !slices.Equal(got, []string{tc.want, tc.want}) {
				t.Errorf("%s: the server saw %q, want %q twice", name, got, tc.want)
			}
		}
	}
}

// TestSecretsNeedSecurity: a client in plain text is not made with secrets for all
// calls, and ends single ones that have some.
func TestSecretsNeedSecurity(t *testing.T) {
	secret := credentials.NewBearerToken("SECRET")
	_, err := stubs.NewClient("dns:///a.test", stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithPerRPCCredentials(secret))
	if err == nil || !strings.Contains(err.Error(), "option WithPerRPCCredentials") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("NewClient: %v", err)
	}
	f := newFixture(t, &echo{hook: func(context.Context) error { return errors.New("a handler runs") }}, options{})
	_, err = f.client.Unary(within(t), &testpb.Request{}, stubs.PerRPCCredentials(secret))
	wantCode(t, err, status.Unauthenticated)
	if !strings.Contains(err.Error(), "client_auth: credentials *credentials.bearerToken") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("the call ended with %v", err)
	}
}

// TestCredentialsFail: the caller gets the error of the credentials, and errors.Is
// finds it.
func TestCredentialsFail(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	denied := errors.New("access denied")
	for _, creds := range []credentials.PerRPCCredentials{&token{err: denied}, &promptToken{token{err: denied}}} {
		_, err := f.client.Unary(within(t), &testpb.Request{}, stubs.PerRPCCredentials(creds))
		wantCode(t, err, status.Unauthenticated)
		if !errors.Is(err, denied) {
			t.Errorf("the error %v hides that of the credentials", err)
		}
	}
}

// TestTokensMoveOn: calls that a connection refuses, because its server shuts
// down, go to the next server with each token once, for which the credentials are
// asked again.
func TestTokensMoveOn(t *testing.T) {
	for _, mode := range []string{"blocking", "prompt"} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			var s seen
			old, oldLis := serveMem(&echo{hook: func(context.Context) error { <-release; return nil }}, stubs.MaxConcurrentStreams(1))
			next, nextLis := serveMem(&echo{hook: s.hook})
			var lis atomic.Pointer[memconn.Listener]
			lis.Store(oldLis)
			creds, asked := credentials.PerRPCCredentials(&token{value: "a"}), (*atomic.Int32)(nil)
			asked = &creds.(*token).asked
			if mode == "prompt" {
				p := &promptToken{token{value: "a"}}
				creds, asked = p, &p.asked
			}
			cc, err := stubs.NewClient("passthrough:///mem",
				stubs.WithTransportCredentials(credentials.NewInsecure()), stubs.WithLogger(slog.New(slog.DiscardHandler)), stubs.WithPerRPCCredentials(creds),
				stubs.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.Load().Dial(ctx) }))
			if err != nil {
				t.Fatal(err)
			}
			client := testpb.NewTestClient(cc)
			if err := cc.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			results := make(chan error, 3)
			unary := func() {
				_, err := client.Unary(t.Context(), &testpb.Request{Text: "hello"}, stubs.PerRPCCredentials(&token{value: "b"}))
				results <- err
			}
			go unary() // is served by the old server
			synctest.Wait()
			go unary()
			go func() {
				results <- bidiOnce(metadata.AppendToOutgoingContext(t.Context(), "token", "own"), client)
			}()
			synctest.Wait()
			before := asked.Load()

			lis.Store(nextLis)
			go old.Shutdown(context.Background())
			for range 2 { // those that waited
				if err := <-results; err != nil {
					t.Errorf("%s: a call that waited failed: %v", mode, err)
				}
			}
			got := s.take()
			slices.Sort(got)
			if want := []string{"a b", "own a"}; !slices.Equal(got, want) {
				t.Errorf("%s: the next server saw the tokens %q, want %q", mode, got, want)
			}
			if before != 3 || asked.Load() != 5 {
				t.Errorf("%s: the credentials were asked %d times and then %d times, want 3 and 5", mode, before, asked.Load())
			}
			close(release)
			if err := <-results; err != nil {
				t.Errorf("%s: the call under way failed: %v", mode, err)
			}
			cc.Close()
			next.Shutdown(context.Background())
		})
	}
}

// slow is credentials that take as long as their context.
type slow struct{ token }

func (s *slow) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	s.asked.Add(1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSlowCredentials: a call ends with its context, or with the client, while its
// credentials are asked, and errors.Is finds why.
func TestSlowCredentials(t *testing.T) {
	why := errors.New("why")
	for _, tc := range []struct {
		name string
		end  func(f *fixture, cancel context.CancelCauseFunc)
		code status.Code
		is   []error
	}{
		{"the deadline", func(*fixture, context.CancelCauseFunc) {}, status.DeadlineExceeded, []error{context.DeadlineExceeded}},
		{"a cancellation", func(_ *fixture, cancel context.CancelCauseFunc) { cancel(why) }, status.Canceled, []error{context.Canceled, why}},
		{"Close", func(f *fixture, _ context.CancelCauseFunc) { f.cc.Close() }, status.Canceled, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				creds := new(slow)
				f := newMemFixture(t, new(echo), options{dial: []stubs.DialOption{stubs.WithPerRPCCredentials(creds)}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				ctx, cancelCause := context.WithCancelCause(ctx)
				defer cancelCause(nil)
				result := make(chan error)
				go func() {
					_, err := f.client.Unary(ctx, &testpb.Request{})
					result <- err
				}()
				synctest.Wait()
				if creds.asked.Load() != 1 {
					t.Fatalf("asked %d times", creds.asked.Load())
				}
				tc.end(f, cancelCause)
				err := <-result
				wantCode(t, err, tc.code)
				for _, want := range tc.is {
					if !errors.Is(err, want) {
						t.Errorf("the error %v does not match %v", err, want)
					}
				}
			})
		})
	}
}
