package peers

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A failure is a call that cannot succeed, and what its user is told.
type failure struct {
	name string
	// target starts whatever is at the other end and returns the target.
	target func(t *testing.T) string
	creds  credentials.TransportCredentials // nil: plain text
	method string                           // "": the unary method
	code   status.Code
	// says are parts of the error's text; %s stands for the target.
	says []string
}

// TestFailures: the error of a call that cannot succeed comes at once, and
// names the peer and the cause.
func TestFailures(t *testing.T) {
	id := newIdentity(t)
	secure := credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: certName})
	for _, tc := range []failure{
		{
			name:   "nobody listens",
			target: closedPort,
			code:   status.Unavailable,
			says:   []string{"%s", "connection refused"},
		},
		{
			name:   "an HTTP/1 server",
			target: func(t *testing.T) string { return fakeServer(t, http1Reply) },
			code:   status.Unavailable,
			says:   []string{"%s", "http2", "HTTP/1"},
		},
		{
			name:   "a server that closes at once",
			target: func(t *testing.T) string { return fakeServer(t, func(net.Conn) {}) },
			code:   status.Unavailable,
			says:   []string{"%s", "http2"},
		},
		{
			name: "plain text to a TLS server",
			target: func(t *testing.T) string {
				return strataLib{}.serve(t, handlers{}, serverOptions{cert: &id.cert}).addr
			},
			code: status.Unavailable,
			says: []string{"%s", "http2"},
		},
		{
			name:   "TLS to a plain text server",
			target: func(t *testing.T) string { return strataLib{}.serve(t, handlers{}, serverOptions{}).addr },
			creds:  secure,
			code:   status.Unavailable,
			says:   []string{"%s", "tls"},
		},
		{
			name:   "TLS to grpc-go's plain text server",
			target: func(t *testing.T) string { return grpcGoLib{}.serve(t, handlers{}, serverOptions{}).addr },
			creds:  secure,
			code:   status.Unavailable,
			says:   []string{"%s", "tls"},
		},
		{
			name: "an authority nobody trusts",
			target: func(t *testing.T) string {
				return grpcGoLib{}.serve(t, handlers{}, serverOptions{cert: &id.cert}).addr
			},
			creds: credentials.NewTLS(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: certName}),
			code:  status.Unavailable,
			says:  []string{"%s", "certificate", "authority"},
		},
		{
			name: "a certificate for another name",
			target: func(t *testing.T) string {
				return grpcGoLib{}.serve(t, handlers{}, serverOptions{cert: &id.cert}).addr
			},
			creds: credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: "other.example"}),
			code:  status.Unavailable,
			says:  []string{"%s", "certificate", "other.example", certName},
		},
		{
			name: "no ALPN",
			target: func(t *testing.T) string {
				return fakeServer(t, func(c net.Conn) {
					_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{id.cert}}).Handshake() // the client decides
				})
			},
			creds: secure,
			code:  status.Unavailable,
			says:  []string{"%s", "ALPN", "h2"},
		},
		{
			name:   "an unknown method of grpc-go",
			target: func(t *testing.T) string { return grpcGoLib{}.serve(t, handlers{}, serverOptions{}).addr },
			method: "/" + serviceName + "/Missing",
			code:   status.Unimplemented,
			says:   []string{"Missing", serviceName},
		},
		{
			name:   "an unknown method of Strata",
			target: func(t *testing.T) string { return strataLib{}.serve(t, handlers{}, serverOptions{}).addr },
			method: "/" + serviceName + "/Missing",
			code:   status.Unimplemented,
			says:   []string{"Missing", serviceName},
		},
		{
			name:   "an unknown service of Strata",
			target: func(t *testing.T) string { return strataLib{}.serve(t, handlers{}, serverOptions{}).addr },
			method: "/no.Such/Method",
			code:   status.Unimplemented,
			says:   []string{"unknown service", "no.Such"},
		},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) { tc.check(t) })
	}
}

// check makes the call, unary and as a stream.
func (f failure) check(t *testing.T) {
	target := f.target(t)
	creds := f.creds
	if creds == nil {
		creds = credentials.NewInsecure()
	}
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	method := f.method
	if method == "" {
		method = unaryMethod
	}
	ctx := testContext(t)
	begin := time.Now()
	f.checkError(t, target, cc.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}))
	s, err := cc.NewStream(ctx, &stubs.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err == nil {
		err = s.RecvMsg(new(emptypb.Empty))
	}
	f.checkError(t, target, err)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v to fail", took)
	}
}

// checkError compares an error with what the user should be told.
func (f failure) checkError(t *testing.T, target string, err error) {
	t.Helper()
	if got := status.CodeOf(err); got != f.code {
		t.Errorf("the call ended with %v, want %v: %v", got, f.code, err)
	}
	if err == nil {
		return
	}
	for _, part := range f.says {
		part = strings.ReplaceAll(part, "%s", target)
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	lis := listen(t, "")
	lis.Close()
	return lis.Addr().String()
}

// fakeServer serves connections that are not HTTP/2.
func fakeServer(t *testing.T, serve func(net.Conn)) string {
	lis := listen(t, "")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		lis.Close()
		await(t, "the fake server", ended)
	})
	return lis.Addr().String()
}

// http1Reply answers as servers do that know only HTTP/1.
func http1Reply(c net.Conn) {
	_, _ = bufio.NewReader(c).ReadString('\n') // the beginning of the preface, or nothing
	_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbad request")
}

// TestBadTargets: a target that can never work is refused when the client is
// made, and the error quotes it.
func TestBadTargets(t *testing.T) {
	for _, target := range []string{"", "dns:///", "dns:///host:port:port", "[::1", "ipv4:not-an-address", "ipv6:127.0.0.1:1"} {
		cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
		if err == nil {
			cc.Close()
			t.Errorf("target %q was accepted", target)
		} else if !strings.Contains(err.Error(), target) {
			t.Errorf("the error does not quote the target %q: %v", target, err)
		}
	}
	if cc, err := stubs.NewClient("127.0.0.1:1"); err == nil {
		cc.Close()
		t.Error("a client without credentials was made")
	}
}

// TestDeadlineWithoutServer: a call never outlives its deadline, whatever the
// other end does, and the error says what it was waiting for.
func TestDeadlineWithoutServer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		target func(t *testing.T) string
		wait   bool // for a connection
	}{
		{"silence", func(t *testing.T) string { return silentServer(t) }, false},
		{"refused, waiting for a connection", closedPort, true},
		{"silence, waiting for a connection", func(t *testing.T) string { return silentServer(t) }, true},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			target := tc.target(t)
			cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cc.Close() })
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err = cc.Invoke(ctx, unaryMethod, &emptypb.Empty{}, &emptypb.Empty{}, stubs.WaitForReady(tc.wait))
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the call took %v, its deadline was 300 ms", took)
			}
			if status.CodeOf(err) != status.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the call ended with %v, want the deadline", err)
			}
			if err != nil && !strings.Contains(err.Error(), target) {
				t.Errorf("the error does not name %s: %v", target, err)
			}
		})
	}
}

// silentServer accepts connections and says nothing.
func silentServer(t *testing.T) string {
	done := make(chan struct{})
	addr := fakeServer(t, func(net.Conn) { <-done })
	t.Cleanup(func() { close(done) })
	return addr
}

// TestStrangeClients: a server keeps serving while others speak to it in
// languages that it does not know, and does not keep their connections.
func TestStrangeClients(t *testing.T) {
	s := strataLib{}.serve(t, handlers{}, serverOptions{})
	c := grpcGoLib{}.dial(t, s.addr, clientOptions{})
	for _, tc := range []struct{ name, says string }{
		{"HTTP/1", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{"a preface and garbage", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("garbage", 10)},
		{"garbage", strings.Repeat("\x00", 100)},
	} {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
			if _, err := io.WriteString(nc, tc.says); err != nil {
				t.Fatal(err)
			}
			// A reset is as good an end as any: the server need not read all.
			var timeout net.Error
			if _, err := io.Copy(io.Discard, nc); errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("the server kept the connection for %v", patience)
			}
			if _, err := c.unary(testContext(t), []byte("x"), nil); err != nil {
				t.Errorf("a call of another client: %v", err)
			}
		})
	}
}
