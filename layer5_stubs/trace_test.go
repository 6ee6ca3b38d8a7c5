package stubs_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestTrace: the steps of a unary call in this layer, in order, each caused by
// one before it.
func TestTrace(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	f := newFixture(t, new(echo), options{
		server: []stubs.ServerOption{stubs.WithTrace(rec.Endpoint("server", "client"))},
		dial:   []stubs.DialOption{stubs.WithTrace(rec.Endpoint("client", "server"))},
	})
	if _, err := f.client.Unary(within(t), new(testpb.Request)); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	layers := map[uint8]bool{}
	for _, e := range rec.Events() {
		layers[e.Layer] = true
		if e.Layer != 5 {
			continue
		}
		got[e.Endpoint] = append(got[e.Endpoint], e.Op)
		if first := e.Op == "stub.invoke" || e.Op == "dispatch"; (e.Cause == 0) != first {
			t.Errorf("%s %s: cause = %d", e.Endpoint, e.Op, e.Cause)
		}
	}
	want := map[string][]string{
		"client": {"stub.invoke", "marshal", "unmarshal", "return"},
		"server": {"dispatch", "handler", "unmarshal", "return", "marshal"},
	}
	for end := range want {
		if !slices.Equal(got[end], want[end]) {
			t.Errorf("%s: %q, want %q", end, got[end], want[end])
		}
	}
	for layer := uint8(1); layer <= 5; layer++ {
		if !layers[layer] {
			t.Errorf("no event of layer %d", layer)
		}
	}
}

// panicEnv makes TestPanicPropagation the process that panics.
const panicEnv = "STRATA_TEST_PANIC"

// TestPanicPropagation: with the option, the panic of a handler ends the
// program, here another one.
func TestPanicPropagation(t *testing.T) {
	if os.Getenv(panicEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanicPropagation$", "-test.timeout=30s")
		cmd.Env = append(os.Environ(), panicEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: as asked for") {
			t.Errorf("the program ended with %v:\n%s", err, out)
		}
		return
	}
	s := stubs.NewServer(stubs.WithPanicPropagation())
	s.RegisterService(shapes(func(any, stubs.ServerStream) error { panic("as asked for") }, true, true), nil)
	cc := serveServer(t, s)
	_ = cc.Invoke(within(t), "/shapes/M", new(testpb.Request), new(testpb.Response))
}
