package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/strata-grpc/strata/tests/internal/child"
)

// A victim is this program, or the test binary, run again with childVariable
// set to the name of an implementation.
const childVariable = "STRATA_ATTACKS_VICTIM"

// childLimit is how long a victim lives, whatever happens to its parent.
const childLimit = 5 * time.Minute

// childMemory is what a victim's collector aims to stay below, so that a leak
// slows it down before it hurts the machine.
const childMemory = 2 << 30

// The commands to a victim.
const (
	opServe   = "serve"   // start a server
	opWatch   = "watch"   // begin to look for the peak of memory
	opUnwatch = "unwatch" // stop it
	opUsage   = "usage"   // report
	opCall    = "call"    // make calls to a server that attacks
)

// A command is what a victim is told.
type command struct {
	Op     string
	Target string `json:",omitempty"`
	Load   load
	Idle   time.Duration // MaxConnectionIdle of the server, 0 for none
}

// A reply is what it says.
type reply struct {
	Addr  string `json:",omitempty"`
	Usage usage
	Ends  map[string]int `json:",omitempty"`
}

func isChild() bool { return os.Getenv(childVariable) != "" }

// runChild is a victim: it carries out commands until its input ends.
func runChild() error {
	debug.SetMemoryLimit(childMemory)
	watchdog := time.AfterFunc(childLimit, func() { os.Exit(3) })
	defer watchdog.Stop()
	impl, err := findImplementation(os.Getenv(childVariable))
	if err != nil {
		return err
	}
	var g gauge
	defer g.unwatch()
	return child.Answer(os.Stdin, os.Stdout, func(c command) (reply, error) { return obey(impl, &g, c) })
}

// obey carries out one command.
func obey(impl implementation, g *gauge, c command) (r reply, err error) {
	switch c.Op {
	case opServe:
		r.Addr, _, err = impl.serve(c.Idle)
	case opWatch:
		g.watch()
	case opUnwatch:
		g.unwatch()
	case opUsage:
		r.Usage = g.usage()
	case opCall:
		r.Ends, err = callAll(impl, c)
	default:
		err = fmt.Errorf("no command %q", c.Op)
	}
	return r, err
}

// callAll makes the calls of a load and counts how they ended.
func callAll(impl implementation, c command) (map[string]int, error) {
	call, stop, err := impl.dial(c.Target)
	if err != nil {
		return nil, err
	}
	defer stop()
	ends := map[string]int{}
	var mu sync.Mutex // guards ends
	var calls sync.WaitGroup
	left := make(chan struct{}, c.Load.Calls)
	for range c.Load.Calls {
		left <- struct{}{}
	}
	close(left)
	for range c.Load.AtOnce {
		calls.Go(func() {
			for range left {
				ctx, cancel := context.WithTimeout(context.Background(), c.Load.Deadline)
				code := call(ctx)
				cancel()
				mu.Lock()
				ends[code]++
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	return ends, nil
}

// A victim is a child process, as its parent sees it. One that has died of an
// attack does not reply, which is an error.
type victim = child.Process[command, reply]

// startVictim runs this program again as a victim. It is killed when ctx ends.
func startVictim(ctx context.Context, impl string) (*victim, error) {
	return child.Start[command, reply](ctx, "victim", nil, []string{childVariable + "=" + impl})
}
