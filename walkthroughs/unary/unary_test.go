package main

import (
	"context"
	"flag"
	"net"
	"os"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/walkthroughs/internal/tour"
)

var update = flag.Bool("update", false, "rewrite testdata/unary.golden; review the diff")

// TestGolden runs the tour in memory on a virtual clock, several times, and
// compares what each goroutine did and why.
func TestGolden(t *testing.T) {
	const file = "testdata/unary.golden"
	for range 20 {
		var got string
		synctest.Test(t, func(t *testing.T) {
			lis := memconn.Listen()
			env := &tour.Env{
				Listener: lis,
				Dial:     func(ctx context.Context, _ string) (net.Conn, error) { return lis.Dial(ctx) },
				Record:   trace.NewRecorder(trace.LevelValues),
				Handler:  synctest.Wait,
				Settle:   synctest.Wait,
			}
			reply, err := Run(env)
			if err != nil || reply != "hello" {
				t.Fatalf("Run() = %q, %v, want hello", reply, err)
			}
			got = tour.Golden(tour.Part(env.Record.Events(), sceneCall))
		})
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			*update = false
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Fatalf("%s differs; rerun with -update and review the diff. Got:\n%s", file, got)
		}
	}
}
