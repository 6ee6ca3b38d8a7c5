package surface

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// The tests of this file are those of gRPC core's standalone end2end programs
// of the same names, in memory and on the virtual clock.

// TestBadServerResponse is bad_server_response_test: responses that are not
// gRPC, each without and with a body.
func TestBadServerResponse(t *testing.T) {
	for _, row := range []struct {
		http int
		code status.Code
		text string
	}{
		{200, status.Unknown, "200 (OK)"},
		{204, status.Unknown, "204 (No Content)"},
		{301, status.Unknown, "301 (Moved Permanently)"},
		{400, status.Internal, "400 (Bad Request)"},
		{401, status.Unauthenticated, "401 (Unauthorized)"},
		{403, status.PermissionDenied, "403 (Forbidden)"},
		{404, status.Unimplemented, "404 (Not Found)"},
		{408, status.Unknown, "408 (Request Timeout)"},
		{429, status.Unavailable, "429 (Too Many Requests)"},
		{499, status.Unknown, "499"},
		{500, status.Unknown, "500 (Internal Server Error)"},
		{502, status.Unavailable, "502 (Bad Gateway)"},
		{503, status.Unavailable, "503 (Service Unavailable)"},
		{504, status.Unavailable, "504 (Gateway Timeout)"},
	} {
		for name, answer := range map[string]string{
			"alone":       fmt.Sprintf("send HEADERS stream=1 END_STREAM :status=%d\n", row.http),
			"with a page": fmt.Sprintf("send HEADERS stream=1 :status=%d content-type=text/html\nsend DATA stream=1 payload=3c68746d6c3e END_STREAM\n", row.http),
		} {
			t.Run(fmt.Sprintf("%d %s", row.http, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end := endRow{code: row.code, message: "http_client: unexpected HTTP status " + row.text + "; "}
					end.check(t, answered(answer, CallParams{})(t))
				})
			})
		}
	}
	t.Run("a gRPC status counts before an HTTP status", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := endRow{code: status.PermissionDenied, message: "^no"}
			end.check(t, answered("send HEADERS stream=1 END_STREAM :status=502 content-type=application/grpc grpc-status=7 grpc-message=no\n", CallParams{})(t))
		})
	})
}

// speaking returns a dialer whose connections get these bytes and nothing more.
func speaking(bytes string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := memconn.Pipe()
		_, err := server.Write([]byte(bytes))
		return client, err
	}
}

// TestServerThatIsNotHTTP2 is the rest of bad_server_response_test.
func TestServerThatIsNotHTTP2(t *testing.T) {
	for _, row := range []struct {
		name, bytes string
		end         endRow
		after       time.Duration
	}{
		{"a server of HTTP/1", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
			endRow{code: status.Unavailable, message: "client_channel: no connection to passthrough:///echo.example:443"}, 0},
		{"bytes that mean nothing", strings.Repeat("Too many requests, come back later. ", 4),
			endRow{code: status.Unavailable, message: "client_channel: no connection to passthrough:///echo.example:443", http2: "FRAME_SIZE_ERROR"}, 0},
		{"a connection that never sends SETTINGS", "",
			endRow{code: status.DeadlineExceeded, message: "client_channel: the deadline passed while the call waited for a connection", context: context.DeadlineExceeded}, 5 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := newMemChannel(t, speaking(row.bytes))
				defer ch.Close()
				start := time.Now()
				st, _ := echo(t, ch, CallParams{Deadline: start.Add(5 * time.Second)}, "x")
				row.end.check(t, st)
				if got := time.Since(start); got != row.after {
					t.Errorf("the call ended after %v, want %v", got, row.after)
				}
				if row.after == 0 && !strings.Contains(st.Message, "HTTP/1") && !strings.Contains(st.Message, "frame") {
					t.Errorf("the message %q does not say what came in place of SETTINGS", st.Message)
				}
			})
		})
	}
}

// noServer ends a call to where nobody listens, without and with waiting for
// the channel to be ready.
func noServer(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), cause error) {
	t.Helper()
	for _, row := range []struct {
		name  string
		wait  bool
		end   endRow
		after time.Duration
	}{
		{"waiting for ready", true, endRow{code: status.DeadlineExceeded, message: "client_channel: the deadline passed", context: context.DeadlineExceeded}, 2 * time.Second},
		{"not waiting", false, endRow{code: status.Unavailable, message: "client_channel: no connection to"}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := newMemChannel(t, dial)
				defer ch.Close()
				start := time.Now()
				st, _ := echo(t, ch, CallParams{WaitForReady: row.wait, Deadline: start.Add(2 * time.Second)}, "x")
				row.end.check(t, st)
				if got := time.Since(start); got != row.after {
					t.Errorf("the call ended after %v, want %v", got, row.after)
				}
				if !errors.Is(st.Err, cause) {
					t.Errorf("%v does not wrap %v", st.Err, cause)
				}
			})
		})
	}
}

// TestNoServer is no_server_test: the address is known, and nobody is there.
func TestNoServer(t *testing.T) {
	nobody := errors.New("no route to host")
	noServer(t, func(context.Context, string, string) (net.Conn, error) { return nil, nobody }, nobody)
}

// TestConnectionRefused is connection_refused_test.
func TestConnectionRefused(t *testing.T) {
	noServer(t, func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}, syscall.ECONNREFUSED)
}

// A switchingResolver finds one address, which the test changes.
type switchingResolver struct {
	mu sync.Mutex
	// Guarded by mu.
	addr string
	sink resolver.Sink
}

func (*switchingResolver) Scheme() string { return "switching" }
func (r *switchingResolver) Build(_ resolver.Target, sink resolver.Sink, _ resolver.Options) (resolver.Resolver, error) {
	r.mu.Lock()
	r.sink = sink
	r.mu.Unlock()
	r.ResolveNow()
	return r, nil
}

// ResolveNow reports the address that is right at the moment.
func (r *switchingResolver) ResolveNow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sink.Update(resolver.Result{Addresses: []resolver.Address{{Addr: r.addr}}})
}
func (*switchingResolver) ResetBackoff() {}
func (*switchingResolver) Close()        {}

// TestGoawayServer is goaway_server_test: after the GOAWAY of a server the
// resolver is asked again, and calls go to the server that it names now. The
// call under way stays where it is.
func TestGoawayServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listeners := map[string]*memconn.Listener{}
		servers := map[string]*echoServer{}
		for _, addr := range []string{"server-1:1", "server-2:2"} {
			listeners[addr], servers[addr] = memconn.Listen(), newEchoServer(t, WithLogger(quietLogger()))
			go servers[addr].server.Serve(listeners[addr])
		}
		names := &switchingResolver{addr: "server-1:1"}
		ch, err := NewChannel("switching:///echo", WithResolvers(names), WithCredentials(credentials.NewInsecure()), WithLogger(quietLogger()),
			WithDialer(func(ctx context.Context, _, addr string) (net.Conn, error) { return listeners[addr].Dial(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		// The request is not complete, so that the server waits for the rest.
		open, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
		if err != nil {
			t.Fatal(err)
		}
		var st clientState
		open.StartBatch([]Op{opSendHeaders(), st.opHeaders(), st.opMessage(), st.opStatus()}, "open")
		synctest.Wait()

		names.mu.Lock()
		names.addr = "server-2:2"
		names.mu.Unlock()
		ended := make(chan error)
		go func() { ended <- servers["server-1:1"].server.Shutdown(context.Background()) }()
		synctest.Wait()
		if st, body := echo(t, ch, CallParams{}, "to the second"); st.Code != status.OK || body != "to the second" {
			t.Errorf("a call after GOAWAY = %v %q", st, body)
		}
		open.StartBatch([]Op{opSend("to the first"), opClose()}, "rest")
		open.Pluck("open", nil)
		if got := text(st.message); st.status.Code != status.OK || got != "to the first" {
			t.Errorf("the call under way = %v %q", st.status, got)
		}
		open.Pluck("rest", nil)
		open.Release()
		if err := <-ended; err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if s := ch.State(false); s != connectivity.Ready {
			t.Errorf("state = %v", s)
		}
		ch.Close()
		servers["server-2:2"].server.Close()
	})
}

// TestBadHostname is bad_hostname: over TLS a call is only made to a host that
// the server's certificate is for. gRPC core has INTERNAL; this is UNAVAILABLE,
// as gRFC A81 has it, and the server hears nothing of the call.
func TestBadHostname(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"echo.example"}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		if cert, err := x509.ParseCertificate(der); err == nil {
			roots.AddCert(cert)
		}
		e := newEchoServer(t, WithLogger(quietLogger()), WithCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}})))
		lis := memconn.Listen()
		go e.server.Serve(lis)
		ch, err := NewChannel("passthrough:///echo.example:443", WithLogger(quietLogger()),
			WithCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})),
			WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		st, _ := echo(t, ch, CallParams{Host: "slartibartfast.local"}, "x")
		end := endRow{code: status.Unavailable, message: `authority: the server may not speak for "slartibartfast.local", the authority of this call`}
		end.check(t, st)
		if st, _ := echo(t, ch, CallParams{Host: "echo.example"}, "x"); st.Code != status.OK {
			t.Errorf("a call to the right host = %v", st)
		}
		ch.Close()
		e.server.Close()
	})
}

// TestAuthorityNotSupported is authority_not_supported: :authority is no
// metadata, and a call that tries to send it is not begun.
func TestAuthorityNotSupported(t *testing.T) {
	f := newFixture(t)
	c := f.call(CallParams{})
	defer c.Release()
	var st clientState
	ops := []Op{opSendHeaders(":authority", "bar.test.google.fr"), opClose(), st.opStatus()}
	if got := c.StartBatch(ops, "refused"); got != CallErrorInvalidMetadata {
		t.Fatalf("StartBatch = %v", got)
	}
	f.quiet(f.cq)
	c.Cancel()
	f.start(c, "end", st.opStatus())
	f.expect(f.cq, "end", true)
	st.wantStatus(t, status.Canceled, "")
}
