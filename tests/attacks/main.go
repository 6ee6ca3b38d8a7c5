// Command attacks plays attacks on HTTP/2 and gRPC against Strata and grpc-go,
// and says what became of the victim.
//
//	make attacks
//	go run ./attacks [-only a1] [-impl strata] [-quick] [-json file]
//
// An attack is a script of scripts/, in the language of package framescript.
// Its notes say what it needs and what Strata must make of it:
//
//	@attack A1 Rapid Reset, CVE-2023-44487    its number and name
//	@conns 100           connections that play the script at once, 1 if not given;
//	                     client attacks: how many the client may make
//	@frames 1000000 5000 $frames in the script, in full and with -quick
//	@lasts 30s           how long the script may take; 20s if not given
//	@idle 2s             MaxConnectionIdle of the server, none if not given
//	@quick               make test plays it as well
//	@reaction A | B      what comes back: GOAWAY CODE, RST_STREAM CODE,
//	                     grpc-status=N, close, none
//	@heap 512KiB         growth of live heap and stacks, at the most
//	@cpu 2s              CPU time of the victim, at the most
//	@running 1024        handlers at once, at the most
//	@calls 100 10        client attacks: calls, and how many at once
//	@deadline 2s         of each call
//	@ends OK=99 UNAVAILABLE=1   how calls may end, and how many at least
//
// # Contract
//
//   - The victim is a process of its own. It reports its live heap and stacks
//     (after a collection, every 25 ms), CPU time, goroutines and handlers.
//   - A well-behaved client makes a call every 10 ms on another connection,
//     before and during a server attack. None may fail.
//   - Exit status 1 if Strata breaks a bound. grpc-go's column is for
//     comparison: its bounds are its own.
//   - Everything is on the loopback interface and bounded in frames and time.
//   - Not here: attacks on TLS.
//
// # Goroutines
//
//	name      started by   ends when
//	work      prober.start stop
//	sample    watch        unwatch
//	play      playAll      its script ends
//	calls     callAll      no call is left
//
// # Locks
//
// prober.mu, gauge.mu and counters' atomics; none is held across I/O.
//
// # Reading order
//
// main.go, attack.go, run.go, judge.go, prober.go, child.go, gauge.go,
// service.go, strata.go, grpcgo.go, report.go, race_on.go, race_off.go; then
// scripts/.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// A config is what the flags say.
type config struct {
	only  string
	impl  string
	quick bool
	json  string
}

func main() {
	if isChild() {
		if err := runChild(); err != nil {
			fmt.Fprintln(os.Stderr, "attacks:", err)
			os.Exit(1)
		}
		return
	}
	var cfg config
	flag.StringVar(&cfg.only, "only", "", "only attacks whose number or file begins with this; several with commas")
	flag.StringVar(&cfg.impl, "impl", "strata,grpc-go", "the implementations to attack")
	flag.BoolVar(&cfg.quick, "quick", false, "the attacks of make test, with its numbers")
	flag.StringVar(&cfg.json, "json", "", "also write the rows to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	}
}

// run plays every attack against every implementation.
func run(ctx context.Context, cfg config) error {
	begin := time.Now()
	attacks, err := loadAttacks(cfg)
	if err != nil {
		return err
	}
	rep := newReport(os.Stdout, cfg.quick)
	for _, a := range attacks {
		for _, impl := range strings.Split(cfg.impl, ",") {
			row, err := playOn(ctx, a, impl)
			if err != nil {
				return fmt.Errorf("%s against %s: %w", a.file, impl, err)
			}
			rep.add(row)
		}
	}
	rep.end(time.Since(begin))
	if cfg.json != "" {
		if err := rep.writeJSON(cfg.json); err != nil {
			return err
		}
	}
	if rep.broken > 0 {
		return fmt.Errorf("%d bounds are broken", rep.broken)
	}
	return nil
}
