// Command unary makes one unary call over loopback TCP and prints what every
// layer did for it, at both ends.
//
// It is what "make walk" runs. With -json it writes the record to a file as
// JSON lines, the form that package trace documents.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/walkthroughs/internal/tour"
)

func main() {
	asJSON := flag.String("json", "", "write the record to this file, as JSON lines")
	flag.Parse()
	if err := run(*asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "unary:", err)
		os.Exit(1)
	}
}

func run(asJSON string) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	env := &tour.Env{
		Listener: lis,
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		Record: trace.NewRecorder(trace.LevelValues),
		Settle: func() { time.Sleep(20 * time.Millisecond) }, // long against a call of some 100 µs
	}
	reply, err := Run(env)
	records := env.Record.Events()
	fmt.Print(intro)
	tour.Print(os.Stdout, records, tour.Colour(os.Stdout))
	if err != nil {
		return err
	}
	fmt.Printf("\nThe reply: %q\n", reply)
	tour.Summary(os.Stdout, records, sceneCall)
	fmt.Print(outro)
	if asJSON == "" {
		return nil
	}
	return writeJSON(asJSON, records)
}

// writeJSON writes the record in the form that viewers read.
func writeJSON(file string, records []trace.Record) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = trace.WriteJSON(f, header(false), records)
	return errors.Join(err, f.Close())
}

// header describes a record of this tour.
func header(virtual bool) trace.Header {
	return trace.Header{Title: "one unary call", Scenario: "unary", Virtual: virtual}
}

const intro = `One unary call through five layers, over TCP on this machine.

  5 stubs       typed calls: generated code, marshalling            layer5_stubs
  4 surface     a call, its batches of operations; the server        layer4_surface
  3 cq          the completion queue: begin, end, who waits          layer3_cq
  2 callstack   filters, one after another: down ↓ and back up ↑     layer2_callstack
  1 transport   streams and frames: sent → and received ←            layer1_transport

A goroutine is named by what it is for. "application" is the one that made the
call: it walks down through all layers, writes to the socket itself, and then
waits in the completion queue for the goroutine that reads. The server's queue
runs its tag, a callback, on the goroutine that reads. Its batches have closures,
which run where they end, instead of tags in the call's own queue. Times include
what the recording costs, which is most of them.
`

const outro = `
Where to read on: layer5_stubs/invoke.go, layer4_surface/batch.go,
layer2_callstack/callstack.go, layer1_transport/http2/session.go; and
walkthroughs/unary/testdata/unary.golden, the same call on a virtual clock.
`
