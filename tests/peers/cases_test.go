package peers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/interop/cases"
	"github.com/strata-grpc/strata/tests/interop/service"
)

// An interopServer starts a server of the official test service.
type interopServer func(t *testing.T, id *identity) (addr string)

// strataInterop serves Strata's implementation. Plain text without an identity.
func strataInterop(t *testing.T, id *identity) string {
	var opts []stubs.ServerOption
	if id != nil {
		opts = append(opts, stubs.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{id.cert}})))
	}
	s := stubs.NewServer(opts...)
	grpctestingpb.RegisterTestServiceServer(s, service.New("test"))
	lis := listen(t, "")
	serveUntilEnd(t, func() error { return s.Serve(lis) }, s.Stop)
	return lis.Addr().String()
}

// grpcGoInterop serves grpc-go's own implementation.
func grpcGoInterop(t *testing.T, id *identity) string {
	var opts []grpc.ServerOption
	if id != nil {
		opts = append(opts, grpc.Creds(grpccredentials.NewServerTLSFromCert(&id.cert)))
	}
	s := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	lis := listen(t, "")
	serveUntilEnd(t, func() error { return s.Serve(lis) }, s.Stop)
	return lis.Addr().String()
}

// serveUntilEnd runs serve beside the test and stop at its end.
func serveUntilEnd(t *testing.T, serve func() error, stop func()) {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	t.Cleanup(func() {
		stop()
		if err := await(t, "Serve to return", ended); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestCasesOfOurClient runs the official cases with Strata's client.
func TestCasesOfOurClient(t *testing.T) {
	for _, server := range []struct {
		name       string
		start      interopServer
		compressed bool
	}{{"to_grpc-go", grpcGoInterop, false}, {"to_strata", strataInterop, true}} {
		t.Run(server.name, func(t *testing.T) {
			t.Run("plain", func(t *testing.T) { ourCases(t, server.start, nil, server.compressed) })
			t.Run("tls", func(t *testing.T) { ourCases(t, server.start, newIdentity(t), server.compressed) })
		})
	}
}

// ourCases runs all cases over one connection. grpc-go's test service does not
// know those about compressed messages; compression_test.go has the library's.
func ourCases(t *testing.T, start interopServer, id *identity, compressed bool) {
	creds := credentials.NewInsecure()
	if id != nil {
		creds = credentials.NewTLS(&tls.Config{RootCAs: id.roots, ServerName: certName})
	}
	cc, err := stubs.NewClient(start(t, id), stubs.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	for _, c := range cases.All() {
		if c.Compressed && !compressed {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(testContext(t), cc); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCasesOfGRPCGoClient runs grpc-go's own cases against Strata's server.
// They end the process when they fail, hence the command.
func TestCasesOfGRPCGoClient(t *testing.T) {
	client := buildCommand(t, "grpcgo/client")
	t.Run("plain", func(t *testing.T) {
		addr := strataInterop(t, nil)
		for _, c := range cases.All() {
			if !c.Compressed { // it has none of those
				t.Run(c.Name, func(t *testing.T) { runCase(t, client, addr, c.Name) })
			}
		}
	})
	t.Run("tls", func(t *testing.T) {
		id := newIdentity(t)
		addr := strataInterop(t, id)
		for _, name := range []string{"empty_unary", "large_unary", "ping_pong", "custom_metadata", "cancel_after_first_response"} {
			t.Run(name, func(t *testing.T) {
				runCase(t, client, addr, name, "--use_tls", "--ca_file="+id.certFile, "--server_host_override="+certName)
			})
		}
	})
}

// TestCommands runs the interop client and server as a user would, and makes
// sure that the client can fail.
func TestCommands(t *testing.T) {
	server, client := buildCommand(t, "server"), buildCommand(t, "client")
	t.Run("plain", func(t *testing.T) {
		addr := startCommand(t, server)
		runCase(t, client, addr, "large_unary")
		runCase(t, client, addr, "special_status_message")
		for _, c := range cases.All() {
			if c.Compressed {
				runCase(t, client, addr, c.Name)
			}
		}
		if out, err := commandCase(t, client, addr, "no_such_case"); err == nil {
			t.Errorf("an unknown case passed:\n%s", out)
		}
	})
	t.Run("tls", func(t *testing.T) {
		id := newIdentity(t)
		addr := startCommand(t, server, "--use_tls", "--tls_cert_file="+id.certFile, "--tls_key_file="+id.keyFile)
		runCase(t, client, addr, "ping_pong", "--use_tls", "--ca_file="+id.certFile, "--server_host_override="+certName)
		out, err := commandCase(t, client, addr, "empty_unary", "--use_tls", "--ca_file="+id.certFile, "--server_host_override=other.example")
		if err == nil || !strings.Contains(out, "other.example") {
			t.Errorf("a certificate for another name: %v\n%s", err, out)
		}
	})
	t.Run("reference", func(t *testing.T) {
		addr := startCommand(t, buildCommand(t, "grpcgo/server"))
		runCase(t, client, addr, "custom_metadata")
	})
	t.Run("the case can fail", func(t *testing.T) {
		// A server without the service fails what it does not implement.
		s := strataLib{}.serve(t, handlers{}, serverOptions{})
		out, err := commandCase(t, client, s.addr, "empty_unary")
		if err == nil || !strings.Contains(out, "Unimplemented") {
			t.Errorf("empty_unary without the service: %v\n%s", err, out)
		}
		runCase(t, client, s.addr, "unimplemented_service")
	})
}

// builtCommands holds the commands that were built, so that each is built once.
var builtCommands = struct {
	sync.Mutex // guards what follows
	dir        string
	paths      map[string]string
}{paths: map[string]string{}}

// TestMain removes the commands that were built.
func TestMain(m *testing.M) {
	result := m.Run()
	if builtCommands.dir != "" {
		_ = os.RemoveAll(builtCommands.dir) // in the system's temporary folder
	}
	os.Exit(result)
}

// buildCommand builds a command of tests/interop and returns its path.
func buildCommand(t *testing.T, name string) string {
	t.Helper()
	b := &builtCommands
	b.Lock()
	defer b.Unlock()
	if path, ok := b.paths[name]; ok {
		return path
	}
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "strata-interop-")
		if err != nil {
			t.Fatal(err)
		}
		b.dir = dir
	}
	path := filepath.Join(b.dir, strings.ReplaceAll(name, "/", "-"))
	cmd := exec.Command("go", "build", "-o", path, "./"+name)
	cmd.Dir = filepath.Join("..", "interop")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", name, err, out)
	}
	b.paths[name] = path
	return path
}

// commandCase runs a client command for one case.
func commandCase(t *testing.T, client, addr, name string, args ...string) (out string, err error) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--server_host=" + host, "--server_port=" + port, "--test_case=" + name}, args...)
	all, err := exec.CommandContext(testContext(t), client, args...).CombinedOutput()
	return string(all), err
}

// runCase runs a client command for a case that must pass.
func runCase(t *testing.T, client, addr, name string, args ...string) {
	t.Helper()
	if out, err := commandCase(t, client, addr, name, args...); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

// startCommand starts a server command on a free port, and interrupts it at
// the end of the test: it must then end by itself and report no error.
func startCommand(t *testing.T, server string, args ...string) (addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, server, append([]string{"--host=127.0.0.1", "--port=0"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		_ = cmd.Process.Signal(os.Interrupt) // Wait reports what became of it
		err := cmd.Wait()
		var exit *exec.ExitError
		// grpc-go's command has no handler for the signal, which then ends it.
		if interrupted := errors.As(err, &exit) && !exit.Exited(); err != nil && !(interrupted && strings.Contains(server, "grpcgo")) {
			t.Errorf("%s: %v\n%s", server, err, &stderr)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("the server printed %q", line)
	}
	return addr
}
