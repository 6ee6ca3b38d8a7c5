package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// libraryModule is the module whose packages have the layers' benchmarks.
const libraryModule = "github.com/strata-grpc/strata"

// A layerBenchmark names a benchmark that shows what a layer costs by itself.
type layerBenchmark struct {
	layer int
	what  string
	pkg   string // below libraryModule
	name  string // as go test prints it, without the number of CPUs
}

// layerBenchmarks are the rows of the second table.
func layerBenchmarks() []layerBenchmark {
	return []layerBenchmark{
		{1, "parse a frame", "layer1_transport/frame", "BenchmarkParse/frame"},
		{1, "decode a request's header block from the cache", "layer1_transport/http2/headerblock", "BenchmarkDecodeCached"},
		{1, "unary exchange, inproc, both sides", "layer1_transport/inproc", "BenchmarkUnary"},
		{1, "unary exchange, HTTP/2 on loopback, 32 callers", "layer1_transport/http2", "BenchmarkUnary/callers=32"},
		{2, "fake transport alone, client", "layer2_callstack/stacks", "BenchmarkFilter/filter=none/side=client"},
		{2, "stack CLIENT_SUBCHANNEL over it", "layer2_callstack/stacks", "BenchmarkStack/stack=CLIENT_SUBCHANNEL/side=client"},
		{2, "fake transport alone, server", "layer2_callstack/stacks", "BenchmarkFilter/filter=none/side=server"},
		{2, "stack SERVER over it", "layer2_callstack/stacks", "BenchmarkStack/stack=SERVER/side=server"},
		{2, "CLIENT_CHANNEL with CLIENT_SUBCHANNEL over it", "layer2_callstack/stacks", "BenchmarkStack/stack=CHANNEL_and_SUBCHANNEL/side=client"},
		{3, "begin, end and pluck of a ready tag", "layer3_cq", "BenchmarkPluckReady"},
		{3, "begin and end on a callback queue", "layer3_cq", "BenchmarkCallback"},
		{4, "create and release a call", "layer4_surface", "BenchmarkCreateRelease"},
		{4, "StartBatch of six ops", "layer4_surface", "BenchmarkStartBatch"},
		{4, "unary call over a null transport", "layer4_surface", "BenchmarkUnaryNull"},
		{4, "unary call, in process, both sides", "layer4_surface", "BenchmarkUnaryInProcess"},
		{5, "unary call, in process, both sides", "layer5_stubs", "BenchmarkUnaryInProcess"},
		{5, "unary call, loopback TCP, one caller a CPU", "layer5_stubs", "BenchmarkUnary/callers=1"},
		{5, "message each way on a stream, loopback TCP", "layer5_stubs", "BenchmarkPingPong"},
	}
}

// A layerCost is a row of the second table.
type layerCost struct {
	Layer  int     `json:"layer"`
	What   string  `json:"what"`
	Bench  string  `json:"benchmark"`
	Ns     float64 `json:"ns"`
	Bytes  float64 `json:"bytes"`
	Allocs float64 `json:"allocs"`
}

// measureLayers runs the benchmarks, each for benchTime. A name that no
// benchmark has is an error: the table must not lose rows silently.
func measureLayers(ctx context.Context, list []layerBenchmark, benchTime time.Duration) ([]layerCost, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", libraryModule).Output()
	if err != nil {
		return nil, fmt.Errorf("where %s is: %w", libraryModule, withStderr(err))
	}
	dir, err := os.MkdirTemp("", "strata-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	runner := benchRunner{root: strings.TrimSpace(string(out)), dir: dir, built: map[string]string{}, benchTime: benchTime}
	costs := make([]layerCost, 0, len(list))
	for _, b := range list {
		cost, err := runner.run(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", b.name, b.pkg, err)
		}
		costs = append(costs, cost)
	}
	return costs, nil
}

// A benchRunner builds each package's tests once and runs single benchmarks.
type benchRunner struct {
	root      string            // of the library's module
	dir       string            // for test binaries
	built     map[string]string // package to test binary
	benchTime time.Duration
}

// run runs one benchmark.
func (r *benchRunner) run(ctx context.Context, b layerBenchmark) (layerCost, error) {
	binary, err := r.build(ctx, b.pkg)
	if err != nil {
		return layerCost{}, err
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+exactly(b.name),
		"-test.benchmem", "-test.benchtime="+r.benchTime.String(), "-test.timeout=1m")
	cmd.Dir = filepath.Join(r.root, filepath.FromSlash(b.pkg))
	out, err := cmd.Output()
	if err != nil {
		return layerCost{}, fmt.Errorf("%w\n%s", withStderr(err), out)
	}
	cost, ok := parseBenchmark(out, b.name)
	if !ok {
		return layerCost{}, errors.New("there is no such benchmark")
	}
	cost.Layer, cost.What, cost.Bench = b.layer, b.what, b.pkg+"."+b.name
	return cost, nil
}

// build returns the test binary of a package.
func (r *benchRunner) build(ctx context.Context, pkg string) (string, error) {
	if binary, ok := r.built[pkg]; ok {
		return binary, nil
	}
	binary := filepath.Join(r.dir, strings.ReplaceAll(pkg, "/", "_")+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./"+pkg)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	r.built[pkg] = binary
	return binary, nil
}

// exactly returns the pattern that matches a benchmark and those below it only.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + p + "$"
	}
	return strings.Join(parts, "/")
}

// parseBenchmark finds a benchmark's line in the output of a test:
//
//	BenchmarkX/y-2   	 1000000	  23.1 ns/op	  0 B/op	  0 allocs/op
func parseBenchmark(out []byte, name string) (layerCost, bool) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !isBenchmark(fields[0], name) {
			continue
		}
		units := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return layerCost{}, false
			}
			units[fields[i+1]] = value
		}
		ns, ok := units["ns/op"]
		return layerCost{Ns: ns, Bytes: units["B/op"], Allocs: units["allocs/op"]}, ok
	}
	return layerCost{}, false
}

// isBenchmark reports whether printed is name with or without "-CPUs".
func isBenchmark(printed, name string) bool {
	rest, ok := strings.CutPrefix(printed, name)
	if !ok || rest == "" {
		return ok
	}
	cpus, ok := strings.CutPrefix(rest, "-")
	if !ok {
		return false
	}
	_, err := strconv.Atoi(cpus)
	return err == nil
}

// withStderr adds what a command wrote to standard error.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
