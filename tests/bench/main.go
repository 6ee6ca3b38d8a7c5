// Command bench measures Strata beside grpc-go, and what each layer costs.
//
//	go run ./bench [-quick] [-mixed] [-only S] [-rounds N] [-duration D] [-json FILE]
//
//	parent ──stdin/stdout, JSON──▶ server of Strata   ◀──loopback TCP──┐
//	       ──────────────────────▶ server of grpc-go  ◀────────────┐   │
//	       ──────────────────────▶ client of grpc-go  ─────────────┘   │
//	       ──────────────────────▶ client of Strata   ─────────────────┘
//
// Figures of different minutes cannot be compared on a shared machine, so the
// implementations take turns within each round, and the ratio is the median of
// the rounds' ratios. The absolute figures are medians of the rounds.
//
// Memory is measured in new servers, of which each holds one kind of thing;
// a client without a library makes them hold it.
//
// Both sides count: CPU time is the process's user and system time, and
// allocations are those of the whole process, from the beginning to the end
// of the measured interval. What the user's own code allocates (the messages)
// is in them, the same on both sides of a comparison.
//
// # Contract
//
//   - Up: a table on standard output; the same figures as JSON with -json.
//   - Down: the generated clients and servers of both implementations, with
//     the options that they have by default, over one connection.
//   - A child process ends when its standard input does, at its time limit, or
//     when the parent ends it; its memory is limited.
//
// # Goroutines
//
//	name          started by     ends when
//	worker.run    session.drive  the interval is over; drive waits for it
//	watchdog      childMain      the process ends
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go, compare.go, child.go, session.go, strata.go, grpcgo.go, identity.go, usage.go,
// histogram.go, process.go, memory.go, rawclient.go, layers.go, report.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// A config is what the flags say.
type config struct {
	quick    bool
	mixed    bool
	layers   bool
	memory   bool
	only     string
	profile  string // folder
	rounds   int
	duration time.Duration
	warmup   time.Duration
	jsonFile string
	identity string // of the servers with TLS

	// Child processes only.
	role string
	impl string
}

func main() {
	cfg := parseFlags(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := runParent
	if cfg.role != "" {
		run = runChild
	}
	if err := run(ctx, cfg); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) config {
	var cfg config
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.BoolVar(&cfg.quick, "quick", false, "one short round: shows that it works, not how fast")
	flags.BoolVar(&cfg.mixed, "mixed", false, "also Strata's client with grpc-go's server, and the reverse")
	flags.BoolVar(&cfg.layers, "layers", true, "also each layer's own cost, from the benchmarks of its packages")
	flags.BoolVar(&cfg.memory, "memory", true, "also what a server holds for idle connections and streams")
	flags.StringVar(&cfg.only, "only", "", `only the calls whose description contains this, such as "unary TLS" or "c=64 100 B"`)
	flags.StringVar(&cfg.profile, "profile", "", "also write CPU profiles of the processes to this folder")
	flags.IntVar(&cfg.rounds, "rounds", 5, "rounds of interleaved runs")
	flags.DurationVar(&cfg.duration, "duration", 700*time.Millisecond, "the measured interval of a run")
	flags.DurationVar(&cfg.warmup, "warmup", 250*time.Millisecond, "what precedes it")
	flags.StringVar(&cfg.jsonFile, "json", "", "also write the figures to this file")
	flags.StringVar(&cfg.role, "role", "", "for child processes: client or server")
	flags.StringVar(&cfg.impl, "impl", "", "for child processes: the implementation")
	_ = flags.Parse(args) // ExitOnError: it does not return one
	if cfg.quick {
		cfg.rounds, cfg.duration, cfg.warmup = 1, 200*time.Millisecond, 100*time.Millisecond
	}
	return cfg
}

// runParent measures and reports.
func runParent(ctx context.Context, cfg config) error {
	begin := time.Now()
	var layers []layerCost
	if cfg.layers { // first: a name that is missing shows at once
		benchTime := 100 * time.Millisecond
		if cfg.quick {
			benchTime = 10 * time.Millisecond
		}
		var err error
		if layers, err = measureLayers(ctx, layerBenchmarks(), benchTime); err != nil {
			return err
		}
	}
	var err error
	if cfg.identity, err = newIdentity(); err != nil {
		return err
	}
	report, err := compare(ctx, cfg)
	if err != nil {
		return err
	}
	report.Layers = layers
	report.printCalls(os.Stdout)
	if cfg.memory {
		if report.Memory, err = measureMemory(ctx, cfg); err != nil {
			return err
		}
		report.printMemory(os.Stdout)
	}
	if cfg.layers {
		report.printLayers(os.Stdout)
	}
	fmt.Printf("\n%.0f s in all\n", time.Since(begin).Seconds())
	if cfg.jsonFile == "" {
		return nil
	}
	return report.writeJSON(cfg.jsonFile)
}
