package canary

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// block returns fields, each "name: value", in HPACK.
func block(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range fields {
		i := strings.Index(f[1:], ": ") + 1
		_ = enc.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+2:]}) // a bytes.Buffer takes every write
	}
	return b.Bytes()
}

// headers returns a HEADERS frame of stream 1.
func headers(end bool, fields ...string) []byte {
	return frame.AppendHeaders(nil, 1, end, block(fields...), frame.MinMaxFrameSize)
}

// data returns a DATA frame of stream 1 with a message.
func data(end bool, message string) []byte {
	flags := byte(0)
	if end {
		flags = 1
	}
	b := []byte{0, 0, byte(5 + len(message)), 0, flags, 0, 0, 0, 1, 0, 0, 0, 0, byte(len(message))}
	return append(b, message...)
}

// settings is an empty SETTINGS frame.
var settings = []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestStrangeClients: whatever a client sends that is no call of gRPC, the
// server neither repeats nor logs it.
func TestStrangeClients(t *testing.T) {
	request := []string{":method: POST", ":scheme: http", ":path: " + unaryMethod, ":authority: a", "content-type: application/grpc", "te: trailers"}
	with := func(fields ...string) []byte {
		return join([]byte(frame.ClientPreface), settings, headers(false, append(append([]string(nil), request...), fields...)...), data(true, "\x0a\x02ok"))
	}
	without := func(drop int, fields ...string) []byte {
		kept := append(append([]string(nil), request[:drop]...), request[drop+1:]...)
		return join([]byte(frame.ClientPreface), settings, headers(true, append(kept, fields...)...))
	}
	valid := base64.RawStdEncoding.EncodeToString([]byte(secret))
	for name, says := range map[string][]byte{
		"a malformed binary value":   with("x-bin: !" + secret + "!"),
		"half a binary value":        with("x-bin: " + valid + "A==="),
		"a list of binary values":    with("x-bin: " + valid + ",!" + secret),
		"a malformed details value":  with("grpc-status-details-bin: !" + secret),
		"a malformed timeout":        with("grpc-timeout: " + secret),
		"an unknown encoding":        with("grpc-encoding: br", "authorization: "+secret),
		"two tokens and two hosts":   with("authorization: "+secret, "host: a", "host: b"),
		"user information":           without(3, "host: user:"+secret+"@a"),
		"a field of a connection":    with("connection: " + secret),
		"a name that may not be":     with("x-UPPER: " + secret),
		"a value that may not be":    with("x-token: " + secret + "\x00"),
		"a wrong te":                 without(5, "te: gzip", "authorization: "+secret),
		"no content-type":            without(4, "authorization: "+secret),
		"no method":                  without(0, "authorization: "+secret),
		"a path that is none":        without(2, ":path: "+secret),
		"a list that is too long":    with("x-token: " + strings.Repeat(secret, 1000)),
		"many fields":                with(strings.Split(strings.Repeat("x: "+secret+"\n", 300), "\n")[:300]...),
		"a wrong length":             with("content-length: 1", "authorization: "+secret),
		"a message that is none":     join([]byte(frame.ClientPreface), settings, headers(false, request...), data(true, secret)),
		"a flag that is none":        join([]byte(frame.ClientPreface), settings, headers(false, request...), []byte{0, 0, 7, 0, 1, 0, 0, 0, 1, 9, 0, 0, 0, 2}, []byte("se")),
		"HTTP/1":                     []byte("GET / HTTP/1.1\r\nAuthorization: Bearer " + secret + "\r\n\r\n"),
		"HTTP/1 with a short path":   []byte("GET /" + secret + " HTTP/1.1\r\n\r\n"),
		"a password of another kind": []byte("AUTH " + secret + "\r\n"),
		"a secret behind a preface":  []byte(frame.ClientPreface + secret + strings.Repeat(secret, 10)),
		"a secret alone":             []byte(secret),
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWatch(t)
			lis := listen(t)
			w.serve(lis)
			c, err := net.Dial("tcp", lis.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
			if _, err := c.Write(says); err != nil {
				t.Fatal(err)
			}
			if half, ok := c.(*net.TCPConn); ok {
				_ = half.CloseWrite() // what is to be read is read
			}
			got, _ := io.ReadAll(c) // the end is as good as any
			w.note("the answer", string(got), texts(got))
			w.check()
		})
	}
}

// texts decodes the header blocks of a server's frames.
func texts(b []byte) string {
	var all strings.Builder
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		// A handler that ran has sent what it should to its client.
		if _, own := secrets()[f.Name]; !own {
			all.WriteString(f.Name + ": " + f.Value + "\n")
		}
	})
	for len(b) >= 9 {
		n := min(len(b), 9+int(b[0])<<16+int(b[1])<<8+int(b[2]))
		if b[3] == 1 {
			_, _ = dec.Write(b[9:n]) // what cannot be decoded is found as it is
		}
		b = b[n:]
	}
	return all.String()
}

// server answers every connection with says, after the client's preface and
// request if ask is set.
func server(t *testing.T, ask bool, says []byte) net.Listener {
	lis := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience)) // a connection has deadlines
				if ask {
					if _, err := c.Write(settings); err != nil {
						return
					}
					awaitRequest(c)
				}
				_, _ = c.Write(says)
				if half, ok := c.(*net.TCPConn); ok {
					_ = half.CloseWrite() // what was written arrives
				}
				_, _ = io.Copy(io.Discard, c) // until the client has had enough
			})
		}
	})
	t.Cleanup(func() { lis.Close(); wg.Wait() })
	return lis
}

// awaitRequest reads until the client's request has ended.
func awaitRequest(c net.Conn) {
	preface := make([]byte, len(frame.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return
		}
		if head[3] == 0 && head[4]&1 != 0 {
			return
		}
	}
}

// TestStrangeServers: whatever a server answers, the client does not repeat
// what may be a secret.
func TestStrangeServers(t *testing.T) {
	response := []string{":status: 200", "content-type: application/grpc"}
	with := func(fields ...string) []byte {
		return join(headers(false, append(append([]string(nil), response...), fields...)...), headers(true, "grpc-status: 0"))
	}
	only := func(fields ...string) []byte {
		return headers(true, append(append([]string(nil), response...), fields...)...)
	}
	for name, tc := range map[string]struct {
		ask  bool
		says []byte
	}{
		"a malformed binary value":     {true, with("x-bin: !" + secret)},
		"a malformed binary trailer":   {true, only("grpc-status: 5", "x-bin: !"+secret)},
		"malformed details":            {true, only("grpc-status: 5", "grpc-status-details-bin: !"+secret)},
		"details that are none":        {true, only("grpc-status: 5", "grpc-status-details-bin: "+base64.RawStdEncoding.EncodeToString([]byte(secret)))},
		"a message":                    {true, only("grpc-status: 5", "grpc-message: "+message, "x-token: "+secret)},
		"a status with a cookie":       {true, only("grpc-status: 16", "set-cookie: "+secret)},
		"HTTP with a cookie":           {true, headers(true, ":status: 401", "www-authenticate: "+secret, "content-type: text/html")},
		"a value that may not be":      {true, with("x-token: " + secret + "\x00")},
		"a name that may not be":       {true, with("x-UPPER: " + secret)},
		"a list that is too long":      {true, with("x-token: " + strings.Repeat(secret, 1000))},
		"a message of another type":    {true, join(headers(false, response...), data(false, secret), headers(true, "grpc-status: 0"))},
		"a message in a response":      {true, join(headers(false, append(response, "authorization: "+secret)...), data(false, "x"), data(false, secret), headers(true, "grpc-status: 0"))},
		"an end without trailers":      {true, join(headers(false, append(response, "authorization: "+secret)...), data(true, "\x0a\x01x"))},
		"a connection that just ended": {true, nil},
		"TLS":                          {false, []byte("\x16\x03\x01\x00\x20" + secret)},
		"nothing but a secret":         {false, []byte("220 ready\r\n" + secret)},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWatch(t)
			cc := w.dial(server(t, tc.ask, tc.says).Addr().String(), credentials.NewInsecure())
			ctx := metadata.NewOutgoingContext(within(t), secrets())
			err := w.unary(ctx, cc, "ok")
			if err == nil {
				t.Error("the call succeeds")
			}
			// The message of a status is for the caller; it is looked for in
			// logs and traces only.
			w.check()
		})
	}
}

// TestProxyPassword: the password of the proxy is nowhere but on its connection.
func TestProxyPassword(t *testing.T) {
	for name, url := range map[string]string{
		"refused":         "http://user:" + secret + "@%s",
		"another scheme":  "socks5://user:" + secret + "@%s",
		"a broken URL":    "http://user:" + secret + "@a b%%zz%s",
		"nobody listens":  "http://user:" + secret + "@127.0.0.1:1",
		"a user's secret": "http://" + secret + "@%s",
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWatch(t)
			lis := server(t, false, []byte("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"))
			t.Setenv("HTTPS_PROXY", strings.Replace(strings.ReplaceAll(url, "%%", "%"), "%s", lis.Addr().String(), 1))
			cc := w.dial("behind.invalid:443", credentials.NewInsecure())
			if err := w.unary(within(t), cc, "ok"); status.CodeOf(err) != status.Unavailable {
				t.Errorf("the call ended with %v", err)
			}
			w.see("a client with a proxy", cc, cc.Channel())
			w.check()
		})
	}
}

// TestFailedHandshakes has TLS that fails at both ends.
func TestFailedHandshakes(t *testing.T) {
	w := newWatch(t)
	pair := newPair(t)
	creds, err := credentials.NewServerTLSFromFile(pair.cert, pair.key)
	if err != nil {
		t.Fatal(err)
	}
	lis := listen(t)
	w.serve(lis)
	secure := listen(t)
	w.serveWith(secure, creds)
	ctx := metadata.NewOutgoingContext(within(t), secrets())
	client, err := credentials.NewClientTLSFromFile(pair.cert, "")
	if err != nil {
		t.Fatal(err)
	}
	w.see("credentials", creds, client, creds.Info(), client.Info())
	for name, cc := range map[string]func() error{
		"TLS to plain text": func() error { return w.unary(ctx, w.dial(lis.Addr().String(), client), "ok") },
		"plain text to TLS": func() error { return w.unary(ctx, w.dial(secure.Addr().String(), credentials.NewInsecure()), "ok") },
		"another name":      func() error { return w.unary(ctx, w.dial("ipv4:"+secure.Addr().String(), client), "ok") },
	} {
		if err := cc(); status.CodeOf(err) != status.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.check()
}

// TestDialersThatFail: what the application's own code fails with is passed on,
// and nothing beside it.
func TestDialersThatFail(t *testing.T) {
	w := newWatch(t)
	lis := listen(t)
	w.serve(lis)
	ctx := metadata.NewOutgoingContext(within(t), secrets())
	for name, dial := range dialers {
		if err := w.unary(ctx, w.dial("x", credentials.NewInsecure(), dial), "ok"); err == nil {
			t.Errorf("%s: the call succeeds", name)
		}
	}
	w.check()
}

// errRefused is what a dialer of these tests fails with.
var errRefused = errors.New("refused")

func refuse(context.Context, string) (net.Conn, error) { return nil, errRefused }
