package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// How many cases the suites have, at the version that tools/h2spec pins. The
// server's include the strict ones.
const (
	serverCases = 146
	clientCases = 57
)

// How long a case waits for what does not come, and a whole suite for its end.
// h2specd gives the probe 3 s and gives up as a whole after that.
const (
	serverCaseTime = 5 * time.Second
	clientCaseTime = 2 * time.Second
	suiteTime      = 5 * time.Minute
)

// A suite is one run of a tool.
type suite struct {
	name  string
	cases int
	start func(ctx context.Context, out io.Writer) ([]result, error)
}

// A report is what a run found.
type report struct {
	results []result
	took    time.Duration
}

// run runs the suite. Its own output is shown when it is wanted.
func (s suite) run(ctx context.Context, verbose bool) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, suiteTime)
	defer cancel()
	out := io.Discard
	if verbose {
		out = os.Stdout
	}
	began := time.Now()
	results, err := s.start(ctx, out)
	return report{results, time.Since(began)}, err
}

// serverSuite is h2spec against one kind of server.
func serverSuite(tool string, k serverKind) suite {
	return suite{k.name, serverCases, func(ctx context.Context, out io.Writer) ([]result, error) {
		s, err := start(k, "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer s.stop()
		dir, err := os.MkdirTemp("", "h2spec-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "report.xml")
		args := []string{
			"-S", "-h", s.addr.IP.String(), "-p", strconv.Itoa(s.addr.Port),
			"-o", seconds(serverCaseTime), "-j", file,
		}
		if k.tls {
			args = append(args, "-t", "-k")
		}
		text, err := runTool(ctx, out, tool, args...)
		xml, openErr := os.Open(file)
		if openErr != nil { // it ended before its end
			return nil, fmt.Errorf("%w\n%s", errors.Join(err, openErr), text)
		}
		defer xml.Close()
		return parseJUnit(xml)
	}}
}

// clientSuite is h2specd, which starts this program's probe for each case.
func clientSuite(tool string) suite {
	return suite{"client", clientCases, func(ctx context.Context, out io.Writer) ([]result, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		if strings.Contains(self, " ") {
			return nil, fmt.Errorf("h2specd cuts %q at its blanks", self)
		}
		port, err := freePorts(clientCases)
		if err != nil {
			return nil, err
		}
		text, err := runTool(ctx, out, tool, "-h", "127.0.0.1", "-f", strconv.Itoa(port), "-o", seconds(clientCaseTime), "-e", self+" probe")
		results := parseOutput(text)
		if err != nil && len(results) == 0 {
			return nil, fmt.Errorf("%w\n%s", err, text)
		}
		return results, nil
	}}
}

// runTool runs a tool to its end and returns what it printed. Its exit status
// says no more than the results do.
func runTool(ctx context.Context, out io.Writer, tool string, args ...string) (string, error) {
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Stdout = io.MultiWriter(&text, out)
	cmd.Stderr = cmd.Stdout
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("not done in time: %w", context.Cause(ctx))
	}
	return text.String(), err
}

// Where a client's own ports begin on most systems.
const (
	firstPort = 20000
	lastPort  = 32767
)

// freePorts returns the first of n ports in a row on which nobody listens, at
// random: others may be looking for theirs.
func freePorts(n int) (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort-n)
		free := 0
		for free < n && isFree(port+free) {
			free++
		}
		if free == n {
			return port, nil
		}
	}
	return 0, fmt.Errorf("found no %d free ports in a row between %d and %d", n, firstPort, lastPort)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }

func isFree(port int) bool {
	lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	lis.Close()
	return true
}
