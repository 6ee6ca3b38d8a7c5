package main

import (
	"bytes"
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

var update = flag.Bool("update", false, "rewrite the files in testdata; review the diff")

// TestGolden runs the tour in memory on a virtual clock, several times, and
// compares what each goroutine did and why: as text to be read, and as the JSON
// lines from which the site draws it.
func TestGolden(t *testing.T) {
	var golden, jsonl []byte
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			lis := memconn.Listen()
			env := &tour.Env{
				Listener: lis,
				Dial:     func(ctx context.Context, _ string) (net.Conn, error) { return lis.Dial(ctx) },
				Record:   trace.NewRecorder(trace.LevelBytes),
				Handler:  synctest.Wait,
				Settle:   synctest.Wait,
			}
			reply, err := Run(env)
			if err != nil || reply != "hello" {
				t.Fatalf("Run() = %q, %v, want hello", reply, err)
			}
			part := tour.Part(env.Record.Events(), sceneCall)
			golden = []byte(tour.Golden(part))
			var b bytes.Buffer
			if err := trace.WriteJSON(&b, header(true), tour.Canonical(part)); err != nil {
				t.Fatal(err)
			}
			jsonl = b.Bytes()
		})
		compare(t, "testdata/unary.golden", golden)
		compare(t, "testdata/unary.jsonl", jsonl)
		*update = false
	}
}

// compare compares got with a file, or writes it there.
func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s differs; rerun with -update and review the diff. Got:\n%s", file, got)
	}
}
