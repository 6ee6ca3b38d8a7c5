package credentials

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A folder has the files of one end.
type folder struct {
	t             testing.TB
	cert, key, ca string
}

func newFolder(t testing.TB) folder {
	dir := t.TempDir()
	return folder{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "SECRET-key.pem"), filepath.Join(dir, "ca.pem")}
}

// write replaces a file in one step, as those do who rotate certificates.
func (f folder) write(path string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) pair(cert tls.Certificate) {
	f.t.Helper()
	certPEM, keyPEM := inPEM(f.t, cert)
	f.write(f.cert, certPEM)
	f.write(f.key, keyPEM)
}

func (f folder) authorities(list ...*authority) {
	f.t.Helper()
	f.write(f.ca, poolPEM(list...))
}

func inPEM(t testing.TB, cert tls.Certificate) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}

func poolPEM(list ...*authority) []byte {
	var b []byte
	for _, a := range list {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return b
}

// reloader returns credentials that look at their files every time.
func (f folder) reloader(change func(*TLSFiles)) TransportCredentials {
	f.t.Helper()
	files := TLSFiles{CertFile: f.cert, KeyFile: f.key, CAFile: f.ca, Interval: 1, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&files)
	}
	creds, err := NewReloadingTLS(files)
	if err != nil {
		f.t.Fatal(err)
	}
	return creds
}

// TestReload changes each of the files of both ends.
func TestReload(t *testing.T) {
	oldCA, newCA := newAuthority(t), newAuthority(t)
	server, client := newFolder(t), newFolder(t)
	server.pair(oldCA.issue(t, "server.test", "first"))
	server.authorities(oldCA)
	client.pair(oldCA.issue(t, "client.test"))
	client.authorities(oldCA)
	serverCreds, clientCreds := server.reloader(nil), client.reloader(nil)
	want := func(step, refuse string) TLSInfo {
		t.Helper()
		info, _, err := visit(t.Context(), clientCreds, serverCreds)
		if refuse == "" && err != nil || refuse != "" && (err == nil || !strings.Contains(err.Error(), refuse)) {
			t.Fatalf("%s: %v, want %q", step, err, refuse)
		}
		return info
	}
	want("at the start", "")

	server.pair(oldCA.issue(t, "server.test", "second"))
	if names := want("another certificate of the server", "").State.PeerCertificates[0].DNSNames; names[1] != "second" {
		t.Errorf("the server shows the certificate for %q", names)
	}
	server.pair(newCA.issue(t, "server.test"))
	want("a server of an authority that the client does not know", "unknown authority")
	client.authorities(oldCA, newCA)
	want("the client knows the authority", "")
	client.pair(newCA.issue(t, "client.test"))
	want("a client of an authority that the server does not know", "certificate")
	server.authorities(newCA)
	want("the server knows the authority", "")
	client.pair(oldCA.issue(t, "client.test"))
	want("the server has forgotten the first authority", "certificate")
}

// TestReloadKeepsTheLastGoodFiles: whatever is wrong with new files, the old
// ones stay in use, and one warning is logged until the files are in order.
func TestReloadKeepsTheLastGoodFiles(t *testing.T) {
	ca := newAuthority(t)
	first, second := ca.issue(t, "server.test", "first"), ca.issue(t, "server.test", "second")
	cert2, key2 := inPEM(t, second)
	for _, tc := range []struct {
		name string
		harm func(f folder)
		says string
	}{
		{"a key of another certificate", func(f folder) { f.write(f.cert, cert2) }, "private key does not match"},
		{"an empty certificate", func(f folder) { f.write(f.cert, nil) }, "no certificate in PEM"},
		{"half a certificate", func(f folder) { f.write(f.cert, cert2[:len(cert2)/2]) }, "ends within"},
		{"half a certificate behind a whole one", func(f folder) { f.write(f.cert, append(bytes.Clone(cert2), cert2[:len(cert2)/2]...)) }, "ends within"},
		{"half a key", func(f folder) { f.write(f.key, key2[:len(key2)/2]) }, "its key"},
		{"no key", func(f folder) { os.Remove(f.key) }, "no such file"},
		{"no certificate", func(f folder) { os.Remove(f.cert) }, "no such file"},
		{"a broken certificate", func(f folder) {
			f.write(f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
		}, "malformed certificate"},
		{"broken authorities", func(f folder) {
			f.write(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
		}, "no certificate in the file can be read"},
		{"authorities that end early", func(f folder) { f.write(f.ca, poolPEM(ca, ca)[:len(poolPEM(ca))+50]) }, "ends within"},
		{"no authorities", func(f folder) { f.write(f.ca, []byte("\n")) }, "no certificate in PEM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFolder(t)
			f.pair(first)
			f.authorities(ca)
			var logged bytes.Buffer
			creds := f.reloader(func(files *TLSFiles) { files.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
			client := NewTLS(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{first}})
			serving := func(name string) {
				t.Helper()
				info, _, err := visit(t.Context(), client, creds)
				if err != nil {
					t.Fatal(err)
				}
				if got := info.State.PeerCertificates[0].DNSNames[1]; got != name {
					t.Errorf("the %s certificate is in use, want the %s", got, name)
				}
			}
			serving("first")
			tc.harm(f)
			serving("first")
			serving("first")
			if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings, want one: %s", n, &logged)
			}
			if !strings.Contains(logged.String(), tc.says) || strings.Contains(logged.String(), "SECRET") {
				t.Errorf("the warning does not say %q, or where the key is: %s", tc.says, &logged)
			}
			logged.Reset()
			f.pair(second)
			f.authorities(ca)
			serving("second")
			if logged.Len() > 0 {
				t.Errorf("logged when all is well: %s", &logged)
			}
		})
	}
}

// TestReloadInPlace: a file that is overwritten within the tick of the file
// system's clock, with as many bytes, is seen all the same.
func TestReloadInPlace(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	f := newFolder(t)
	f.authorities(ca)
	creds := f.reloader(func(files *TLSFiles) { files.CertFile, files.KeyFile = "", "" })
	a, b := poolPEM(ca), poolPEM(other)
	a, b = append(a, bytes.Repeat([]byte("\n"), max(0, len(b)-len(a)))...), append(b, bytes.Repeat([]byte("\n"), max(0, len(a)-len(b)))...)
	server := NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server.test")}})
	info, err := os.Stat(f.ca)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := os.WriteFile(f.ca, [][]byte{a, b}[i%2], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(f.ca, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := visit(t.Context(), creds, server); (err == nil) != (i%2 == 0) {
			t.Errorf("content %d: %v", i, err)
		}
	}
}

// TestReloadInterval gives the exact time at which a change is seen.
func TestReloadInterval(t *testing.T) {
	f := newFolder(t)
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		f.pair(ca.issue(t, "server.test", "first"))
		creds, err := NewReloadingTLS(TLSFiles{CertFile: f.cert, KeyFile: f.key})
		if err != nil {
			t.Fatal(err)
		}
		client := NewTLS(&tls.Config{RootCAs: ca.pool})
		f.pair(ca.issue(t, "server.test", "second"))
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{0, "first"}, {10*time.Second - 1, "first"}, {1, "second"}} {
			time.Sleep(step.wait)
			info, _, err := visit(t.Context(), client, creds)
			if err != nil || info.State.PeerCertificates[0].DNSNames[1] != step.want {
				t.Errorf("after %v more: not the %s certificate, %v", step.wait, step.want, err)
			}
		}
	})
}

// TestReloadUnderLoad: no connection fails while certificates of one authority
// come and go, and each change is seen by the first connection after it.
func TestReloadUnderLoad(t *testing.T) {
	ca := newAuthority(t)
	server, client := newFolder(t), newFolder(t)
	certs := make([]tls.Certificate, 8)
	for i := range certs {
		certs[i] = ca.issue(t, "server.test", fmt.Sprint("n", i))
	}
	server.pair(certs[0])
	client.pair(certs[0])
	server.authorities(ca)
	client.authorities(ca)
	serverCreds, clientCreds := server.reloader(nil), client.reloader(nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := visit(t.Context(), clientCreds, serverCreds); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, cert := range certs {
		server.pair(cert)
		client.pair(cert)
		// Until the end of a look that began before the change.
		for seen := false; !seen && !t.Failed(); {
			info, _, err := visit(t.Context(), clientCreds, serverCreds)
			if err != nil {
				t.Error(err)
			} else {
				seen = bytes.Equal(info.State.PeerCertificates[0].Raw, cert.Certificate[0])
			}
		}
	}
	close(stop)
	wg.Wait()
}

// TestReloadEndsSessions: a session does not outlive the authorities that it
// was made under.
func TestReloadEndsSessions(t *testing.T) {
	ca, first, second := newAuthority(t), newAuthority(t), newAuthority(t)
	f := newFolder(t)
	f.pair(ca.issue(t, "server.test"))
	f.authorities(first)
	settle(t, f)
	creds := f.reloader(nil)
	client := NewTLS(&tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{first.issue(t, "client.test")}, ClientSessionCache: tls.NewLRUClientSessionCache(1)})
	for _, want := range []bool{false, true} {
		if _, resumed, err := visit(t.Context(), client, creds); err != nil || resumed != want {
			t.Fatalf("resumed %v, want %v; %v", resumed, want, err)
		}
	}
	f.authorities(second)
	if _, resumed, err := visit(t.Context(), client, creds); err == nil {
		t.Errorf("a client of the first authority is let in, resumed %v", resumed)
	}
	f.authorities(first, second)
	if _, resumed, err := visit(t.Context(), client, creds); err != nil || resumed {
		t.Errorf("resumed %v, want a new session; %v", resumed, err)
	}
}

// settle makes the files look old, so that they are not read again.
func settle(t *testing.T, f folder) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	for _, path := range []string{f.cert, f.key, f.ca} {
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReloadRefusals(t *testing.T) {
	f := newFolder(t)
	f.pair(newAuthority(t).issue(t, "server.test"))
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		name, says string
		files      TLSFiles
	}{
		{"no files", "names no file", TLSFiles{}},
		{"a certificate without a key", "without a KeyFile", TLSFiles{CertFile: f.cert}},
		{"a key without a certificate", "without a CertFile", TLSFiles{KeyFile: f.key}},
		{"a negative interval", "-1s", TLSFiles{CertFile: f.cert, KeyFile: f.key, Interval: -time.Second}},
		{"a base that chooses", "chooses certificates itself", TLSFiles{CertFile: f.cert, KeyFile: f.key, Base: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}}},
		{"a base that chooses everything", "chooses certificates itself", TLSFiles{CAFile: f.cert, Base: &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }}}},
		{"a missing certificate", missing, TLSFiles{CertFile: missing, KeyFile: f.key}},
		{"a missing key", "no such file", TLSFiles{CertFile: f.cert, KeyFile: missing}},
		{"good certificate and missing authorities", missing, TLSFiles{CertFile: f.cert, KeyFile: f.key, CAFile: missing}},
	} {
		creds, err := NewReloadingTLS(tc.files)
		if err == nil || creds != nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
		}
	}
	if _, err := NewReloadingTLS(TLSFiles{CertFile: f.cert, KeyFile: missing}); !errors.Is(err, os.ErrNotExist) || strings.Contains(err.Error(), missing) {
		t.Errorf("the error of a missing key is %v", err)
	}
}

func TestTLSFilesDoNotShowTheKey(t *testing.T) {
	files := TLSFiles{CertFile: "cert.pem", KeyFile: "SECRET.pem", CAFile: "ca.pem"}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "files", files)
	for _, got := range []string{fmt.Sprintf("%v %+v %#v %q %s %d %v", files, files, files, files, files, files, &files), logged.String()} {
		if strings.Contains(got, "SECRET") || !strings.Contains(got, "cert.pem") {
			t.Error(got)
		}
	}
}

// TestPoolWithOddities: authorities that cannot be read, and other blocks, do not
// keep out the good ones.
func TestPoolWithOddities(t *testing.T) {
	ca := newAuthority(t)
	f := newFolder(t)
	odd := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	f.write(f.ca, bytes.Join([][]byte{[]byte("# authorities\n"), odd, poolPEM(ca), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")}), []byte("\n# end\n")}, nil))
	client, err := NewClientTLSFromFile(f.ca, "server.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := visit(t.Context(), client, NewTLS(&tls.Config{Certificates: []tls.Certificate{ca.issue(t, "server.test")}})); err != nil {
		t.Error(err)
	}
}

// FuzzCheckWhole: what passes has a certificate, and nothing passes behind which
// another block begins.
func FuzzCheckWhole(f *testing.F) {
	ca := newAuthority(f)
	whole := poolPEM(ca, ca)
	f.Add(whole)
	f.Add(whole[:len(whole)/2+20])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkWhole(data) == nil && !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
			t.Error("a file without a certificate passes")
		}
		if checkWhole(append(bytes.Clone(data), "\n-----BEGIN CERTIFICATE-----\nMIIB"...)) == nil {
			t.Error("half a certificate passes")
		}
	})
}
