package surface

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/internal/cost"
)

// costFile is where TestCost writes what it measures; make cost sets it.
var costFile = flag.String("cost", "", "measure the ways to wait for a call and write the figures to this `file`")

// costRounds is how often each case is measured, in turn with the others, and
// costChunk how long at once.
const (
	costRounds = 301
	costChunk  = 500 * time.Microsecond
)

// TestCost measures BenchmarkDelivery and BenchmarkOverStack in interleaved
// rounds and writes the medians as a table. It does nothing without -cost.
func TestCost(t *testing.T) {
	if *costFile == "" {
		return // figures are made on a quiet machine, and on demand
	}
	var runs []func(n int)
	for _, way := range deliveryWays {
		for i := range deliveryCases {
			runs = append(runs, newDelivery(t, &deliveryCases[i], way.wait(t)))
		}
	}
	layers := overStack(t)
	for _, l := range layers {
		runs = append(runs, func(n int) {
			for range n {
				l.call()
			}
		})
	}
	var ns []int
	for _, took := range cost.Rounds(costRounds, costChunk, runs) {
		ns = append(ns, int(cost.Median(took)))
	}

	var b strings.Builder
	fmt.Fprintf(&b, "# What a whole unary call costs by how its goroutine waits for it, in ns: medians\n")
	fmt.Fprintf(&b, "# of %d interleaved rounds of BenchmarkDelivery and BenchmarkOverStack in\n", costRounds)
	fmt.Fprintf(&b, "# layer4_surface. Written by make cost on %s.\n", cost.Machine())
	row := func(name string, cells ...string) { fmt.Fprintf(&b, "%s | %s\n", name, strings.Join(cells, " | ")) }
	var head []string
	for _, dc := range deliveryCases {
		head = append(head, dc.text)
	}
	row("answered", head...)
	for _, way := range deliveryWays {
		var cells []string
		for range deliveryCases {
			cells = append(cells, fmt.Sprint(ns[0]))
			ns = ns[1:]
		}
		row(way.text, cells...)
	}
	for i, l := range layers {
		row(l.name, fmt.Sprint(ns[i]))
	}
	if err := os.WriteFile(*costFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%sStartBatch, the event and Pluck cost %d ns more than the stack below", &b, ns[2]-ns[3]-ns[0]+ns[1])
}
