package security

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// childEnv names the socket of a child that serves with few files.
const childEnv = "STRATA_SECURITY_CHILD"

// fewFiles is how many files a child may have open.
const fewFiles = 40

// child serves on a socket until it is killed, and says when it is ready.
func child() {
	limit := syscall.Rlimit{Cur: fewFiles, Max: fewFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Println("limit:", err)
		return
	}
	lis, err := net.Listen("unix", os.Getenv(childEnv))
	if err != nil {
		fmt.Println("listen:", err)
		return
	}
	s := stubs.NewServer(stubs.WithLogger(quiet()))
	s.RegisterService(describe(func(context.Context) error { return nil }), nil)
	fmt.Println("ready")
	fmt.Println("serve:", s.Serve(lis))
}

// TestOutOfFiles: a server that cannot open another file refuses nobody for
// good: it serves again when others have closed theirs.
func TestOutOfFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it is killed
	line := make([]byte, 6)
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	var crowd []net.Conn
	for range 4 * fewFiles {
		c, err := net.Dial("unix", path)
		if err != nil {
			break // the backlog is full too
		}
		crowd = append(crowd, c)
	}
	if len(crowd) < fewFiles {
		t.Fatalf("%d connections, too few to use up the files", len(crowd))
	}
	time.Sleep(50 * time.Millisecond) // the server meets its limit
	for _, c := range crowd {
		c.Close()
	}
	cc := dial(t, "unix://"+path)
	if err := call(within(t), cc, stubs.WaitForReady(true)); err != nil {
		t.Errorf("when the files are free again: %v", err)
	}
}

// TestAcceptLoopSurvives: clients that reset, or do not speak TLS, or speak it
// badly, leave the server as it was.
func TestAcceptLoopSurvives(t *testing.T) {
	ca := newIssuer(t)
	lis := listenTCP(t)
	serve(t, lis, nil, stubs.Creds(ca.server(t, "server.test")))
	for i := range 200 {
		c, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 0: // a reset, often before the server has accepted
			_ = c.(*net.TCPConn).SetLinger(0)
		case 1:
			_, _ = c.Write([]byte(strings.Repeat("garbage", 100)))
		case 2: // a record of TLS with garbage in it
			_, _ = c.Write([]byte("\x16\x03\x01\x00\x20" + strings.Repeat("\xff", 32)))
		case 3: // a record that does not come
			_, _ = c.Write([]byte("\x16\x03\x01\x40\x00\x01"))
		}
		c.Close()
	}
	cc := dial(t, lis.Addr().String(), stubs.WithAuthority("server.test"), stubs.WithTransportCredentials(ca.client()))
	begin := time.Now()
	if err := call(within(t), cc); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the call took %v", took)
	}
}
