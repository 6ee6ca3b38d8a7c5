package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
)

// A report is what -json writes.
type report struct {
	Go       string      `json:"go"`
	GRPCGo   string      `json:"grpc_go"`
	Platform string      `json:"platform"`
	CPUs     int         `json:"cpus"`
	Rounds   int         `json:"rounds"`
	Duration float64     `json:"duration_ms"`
	Rows     []row       `json:"rows"`
	Memory   []memoryRow `json:"memory,omitempty"`
	Layers   []layerCost `json:"layers,omitempty"`
}

// newReport describes the circumstances of a run.
func newReport(cfg config) *report {
	r := &report{
		Go:       runtime.Version(),
		GRPCGo:   "unknown",
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:     runtime.NumCPU(),
		Rounds:   cfg.rounds,
		Duration: micros(cfg.duration) / 1000,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "google.golang.org/grpc" {
				r.GRPCGo = dep.Version
			}
		}
	}
	return r
}

// printCalls writes the first table.
func (r *report) printCalls(w io.Writer) {
	fmt.Fprintf(w, "%s, grpc-go %s, %s, %d CPUs for client and server together\n", r.Go, r.GRPCGo, r.Platform, r.CPUs)
	fmt.Fprintf(w, "loopback TCP, one connection, payloads of the size each way; medians of %d rounds of %.0f ms, implementations interleaved\n\n",
		r.Rounds, r.Duration)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "call\tc\tsize\tclient\tserver\tQPS\tMB/s\tp50 µs\tp99 µs\tCPU µs client\tserver\tallocs client\tserver\tbytes client\tserver\tratio\t")
	for i, x := range r.Rows {
		if i > 0 && x.scenario != r.Rows[i-1].scenario {
			fmt.Fprintln(t, "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t")
		}
		c, s := x.ClientSide, x.ServerSide
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f\t%.0f\tx%.2f\t\n",
			x.name(), x.Concurrency, x.Size, x.Client, x.Server, x.QPS, x.MBps, x.P50, x.P99,
			c.CPU, s.CPU, c.Allocs, s.Allocs, c.Bytes, s.Bytes, x.Ratio)
	}
	_ = t.Flush() // w is standard output or a buffer
}

// printMemory writes the second table.
func (r *report) printMemory(w io.Writer) {
	fmt.Fprint(w, "\nWhat a server holds for each, after garbage collection\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "server\theap B\tstack B\tgoroutines\tratio\t  ")
	for _, x := range r.Memory {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\tx%.2f\t  ", x.Server, x.Heap, x.Stack, x.Goroutines, x.Ratio)
		fmt.Fprintln(t, x.What)
	}
	_ = t.Flush() // w is standard output or a buffer
}

// printLayers writes the third table.
func (r *report) printLayers(w io.Writer) {
	fmt.Fprint(w, "\nWhat each layer costs by itself, one goroutine, warm caches\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "layer\tns\tallocs\tbytes\t  ")
	for _, x := range r.Layers {
		fmt.Fprintf(t, "%d\t%.1f\t%.0f\t%.0f\t  ", x.Layer, x.Ns, x.Allocs, x.Bytes)
		fmt.Fprintln(t, x.What)
	}
	_ = t.Flush() // w is standard output or a buffer
}

// writeJSON writes the report to a file.
func (r *report) writeJSON(name string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o644)
}
