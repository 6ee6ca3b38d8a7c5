package canary

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	surface "github.com/strata-grpc/strata/layer4_surface"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A pair is the files of a certificate. The word is in the path of the key.
type pair struct{ cert, key, number string }

func newPair(t *testing.T) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.test"}, DNSNames: []string{"server.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := pair{filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), secret+".pem"), new(big.Int).SetBytes(raw).String()}
	writeFile(t, p.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return p
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveWith is serve with TLS.
func (w *watch) serveWith(lis net.Listener, creds credentials.TransportCredentials) {
	w.serve(lis, stubs.Creds(creds))
}

// dialers are those of applications that do badly.
var dialers = map[string]stubs.DialOption{
	"one that refuses": stubs.WithContextDialer(refuse),
	"one that panics":  stubs.WithContextDialer(func(context.Context, string) (net.Conn, error) { panic("dialer") }),
	"one without a result": stubs.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		return nil, nil
	}),
}

// TestKeys: where a key is and what is in its file is in no error and no log.
func TestKeys(t *testing.T) {
	w := newWatch(t)
	p := newPair(t)
	w.note("the test", "begins")
	files := credentials.TLSFiles{CertFile: p.cert, KeyFile: p.key, CAFile: p.cert, Interval: 1, Logger: w.logger()}
	creds, err := credentials.NewReloadingTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	w.see("files", files, &files, creds, creds.Info())
	static, err := credentials.NewServerTLSFromFile(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	w.see("a key in memory", static)
	w.lookFor(p.number)
	lis := listen(t)
	w.serveWith(lis, creds)
	client, err := credentials.NewClientTLSFromFile(p.cert, "server.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"text": []byte(secret), "an empty file": nil, "a block that is no key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(secret)}),
		"half a block": []byte("-----BEGIN PRIVATE KEY-----\n" + secret),
	} {
		writeFile(t, p.key, content)
		_ = w.unary(within(t), w.dial(lis.Addr().String(), client), "ok") // with or without a certificate of the client
		_, err := credentials.NewServerTLSFromFile(p.cert, p.key)
		w.see("a key that is "+name, err)
		if err == nil {
			t.Errorf("a key that is %s is taken", name)
		}
	}
	if err := os.Remove(p.key); err != nil {
		t.Fatal(err)
	}
	_, err = credentials.NewServerTLSFromFile(p.cert, p.key)
	w.see("no key", err)
	_, err = credentials.NewReloadingTLS(files)
	w.see("no key to follow", err)
	w.check()
}

// token is credentials of a call.
type token struct{}

func (token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": secret}, nil
}
func (token) RequireTransportSecurity() bool { return true }

// TestValues prints every public type that can hold a secret.
func TestValues(t *testing.T) {
	w := newWatch(t)
	md := secrets()
	var list metadata.List
	list.AppendMD(md)
	list.SetStatus(5, message)
	st, err := status.New(status.NotFound, "x").WithDetails(wrapperspb.String(secret))
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewIncomingContext(metadata.NewOutgoingContext(within(t), md), md)
	buffer := transport.NewBuffer(len(secret))
	copy(buffer.Bytes(), secret)
	defer buffer.Release()
	batch := &transport.StreamOpBatch{Ops: transport.OpSendInitialMetadata | transport.OpSendMessage}
	batch.SendInitialMetadata.MD, batch.SendMessage.Buf, batch.SendTrailingMetadata.MD = &list, buffer, &list
	info := credentials.TLSInfo{State: tls.ConnectionState{ServerName: "server.test"}}
	w.see("values",
		md, &md, list, &list, list.Pairs(), list.Pairs()[0], &list.Pairs()[0], list.Known,
		st, st.Err(), ctx, context.WithValue(ctx, new(int), 1), buffer, batch, *batch,
		info, &info, &peer.Peer{AuthInfo: info}, token{}, credentials.CheckPerRPC(token{}, nil),
		http2.Config{Logger: w.logger()}, trace.Event{Fields: []trace.Field{{Name: "authorization"}}},
		surface.Op{}, surface.Call{}, surface.CallStatus{Code: status.NotFound}, surface.CallParams{},
		credentials.NewBearerToken(secret), surface.CallParams{Credentials: credentials.NewBearerToken(secret)},
		credentials.NewRequestInfoContext(ctx, &credentials.RequestInfo{Method: unaryMethod, AuthInfo: info}),
	)
	for i := range list.Pairs() {
		w.see("a pair", list.Pairs()[i])
	}
	odd := []string{"authorization", secret, secret}
	for name, f := range map[string]func(){
		"a key without a value": func() { metadata.AppendToOutgoingContext(ctx, odd...) },
		"pairs without a value": func() { metadata.Pairs(odd...) },
	} {
		w.panics(name, f)
	}
	for _, target := range []string{"", "dns:///host:port:port"} {
		_, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()))
		w.see("a bad target", err)
	}
	w.recorder.Endpoint("test", "").Emit(&trace.Event{Op: "end"})
	w.logger().Info("end")
	w.check()
}
