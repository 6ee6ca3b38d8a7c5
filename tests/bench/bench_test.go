package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the child processes: startProcess runs
// the program that it is in.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "-role=") {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestCompare makes one very short round of everything and looks at the
// figures that do not depend on the machine's mood.
func TestCompare(t *testing.T) {
	identity, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config{identity: identity, quick: true, rounds: 1, duration: 30 * time.Millisecond, warmup: 20 * time.Millisecond, mixed: true}
	r, err := compare(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(scenarios("")) * len(pairings(true)); len(r.Rows) != want {
		t.Fatalf("there are %d rows, want %d", len(r.Rows), want)
	}
	for _, x := range r.Rows {
		if x.QPS <= 0 || x.P50 <= 0 || x.P99 < x.P50 {
			t.Errorf("%+v %+v: QPS %v, p50 %v, p99 %v do not fit", x.scenario, x.pairing, x.QPS, x.P50, x.P99)
		}
		// The reply's message and its payload are allocated on every client.
		if x.ClientSide.Allocs < 2 || x.ServerSide.Allocs < 2 {
			t.Errorf("%+v %+v: allocations %v and %v, want at least those of the messages", x.scenario, x.pairing, x.ClientSide, x.ServerSide)
		}
		if same := x.pairing == pairings(false)[0]; same && x.Ratio != 1 {
			t.Errorf("%+v: ratio %v of the base to itself", x.scenario, x.Ratio)
		}
	}

	var table bytes.Buffer
	r.printCalls(&table)
	if got := strings.Count(table.String(), "x"); got < len(r.Rows) {
		t.Errorf("the table has %d ratios, want %d:\n%s", got, len(r.Rows), &table)
	}
	file := filepath.Join(t.TempDir(), "results.json")
	if err := r.writeJSON(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.Rows, r.Rows) {
		t.Errorf("the file's rows differ from those printed:\n%+v\n%+v", back.Rows, r.Rows)
	}
}

func TestSummarise(t *testing.T) {
	runs := []row{{QPS: 30, P50: 1}, {QPS: 20, P50: 5}, {QPS: 90, P50: 2}}
	base := []row{{QPS: 10}, {QPS: 20}, {QPS: 45}}
	got := summarise(runs, base)
	// The ratios are 3, 1 and 2: the median of the ratios is not the ratio of
	// the medians, 1.5.
	if got.QPS != 30 || got.P50 != 2 || got.Ratio != 2 {
		t.Errorf("summarise = QPS %v, p50 %v, ratio %v, want 30, 2, 2", got.QPS, got.P50, got.Ratio)
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median(%v) = %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{{0, time.Microsecond}, {0.5, 500 * time.Microsecond}, {0.99, 990 * time.Microsecond}} {
		got := h.quantile(tc.q)
		if diff := (got - tc.want).Abs(); diff > tc.want/32 {
			t.Errorf("quantile(%v) = %v, want %v within 1/32", tc.q, got, tc.want)
		}
	}
	var sum histogram
	sum.add(&h)
	sum.add(&h)
	if sum.count() != 2000 {
		t.Errorf("count = %d, want 2000", sum.count())
	}
	h.reset()
	if h.count() != 0 || h.quantile(0.5) != 0 {
		t.Error("reset left something behind")
	}
}

// TestBuckets: buckets are ascending, contiguous and narrow.
func TestBuckets(t *testing.T) {
	for b := range buckets {
		if got := bucketOf(lowerBound(b)); got != b {
			t.Fatalf("bucketOf(lowerBound(%d)) = %d", b, got)
		}
	}
	for _, d := range []time.Duration{-1, 0, 1, 127, 128, 129, 1 << 20, 1<<20 + 12345, 1 << 50} {
		b := bucketOf(d)
		if low := lowerBound(b); d >= 0 && d < 1<<maxExponent && (low > d || d-low > d/subBuckets) {
			t.Errorf("%d ns is in bucket %d from %d ns", d, b, low)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	const out = `goos: linux
BenchmarkStack/stack=CLIENT-8         	     100	      99.0 ns/op	       0 B/op	       0 allocs/op
BenchmarkStack/stack=CLIENT_DIRECT-2  	 1000000	       123.5 ns/op	      16 B/op	       2 allocs/op
BenchmarkOne 	       5	  7 ns/op
PASS
`
	for _, tc := range []struct {
		name string
		want layerCost
		ok   bool
	}{
		{"BenchmarkStack/stack=CLIENT_DIRECT", layerCost{Ns: 123.5, Bytes: 16, Allocs: 2}, true},
		{"BenchmarkStack/stack=CLIENT", layerCost{Ns: 99}, true},
		{"BenchmarkOne", layerCost{Ns: 7}, true},
		{"BenchmarkStack", layerCost{}, false},
		{"BenchmarkTwo", layerCost{}, false},
	} {
		if got, ok := parseBenchmark([]byte(out), tc.name); got != tc.want || ok != tc.ok {
			t.Errorf("parseBenchmark(%s) = %+v, %v, want %+v, %v", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

// TestMeasureMemory: every row has figures for both, and what is held is more
// than what a connection or stream is known to need.
func TestMeasureMemory(t *testing.T) {
	identity, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := measureMemory(context.Background(), config{identity: identity, quick: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * len(hoards(true)); len(rows) != want {
		t.Fatalf("there are %d rows, want %d", len(rows), want)
	}
	for i, r := range rows {
		if r.Heap < 500 || r.Ratio <= 0 || i%2 == 0 && r.Ratio != 1 {
			t.Errorf("%+v does not fit", r)
		}
	}
	r := report{Memory: rows}
	var table bytes.Buffer
	r.printMemory(&table)
	if got := strings.Count(table.String(), "idle"); got != 6 {
		t.Errorf("the table has %d rows of idle things, want 6:\n%s", got, &table)
	}
}

// TestMeasureLayers: a benchmark is found and measured, one that does not
// exist is an error.
func TestMeasureLayers(t *testing.T) {
	ready := layerBenchmark{3, "pluck", "layer3_cq", "BenchmarkPluckReady"}
	costs, err := measureLayers(context.Background(), []layerBenchmark{ready}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(costs) != 1 || costs[0].Ns <= 0 || costs[0].Layer != 3 {
		t.Errorf("measureLayers = %+v", costs)
	}
	missing := layerBenchmark{3, "", "layer3_cq", "BenchmarkNoSuchThing"}
	_, err = measureLayers(context.Background(), []layerBenchmark{missing}, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), missing.name) {
		t.Errorf("measureLayers of a missing benchmark: %v", err)
	}
}
