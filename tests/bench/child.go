package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/strata-grpc/strata/tests/internal/child"
)

// memoryLimit is what the garbage collector of a child process aims to stay
// below, so that a leak slows a run down before it hurts the machine.
const memoryLimit = 512 << 20

// The environment variables with a child's time limit, and with the identity of
// servers.
const (
	limitVariable    = "STRATA_BENCH_LIMIT"
	identityVariable = "STRATA_BENCH_IDENTITY"
)

// The commands that a parent gives.
const (
	opAddr   = "addr"   // server: where it listens
	opUsage  = "usage"  // server: what it has used up
	opMemory = "memory" // server: what it holds
	opOpen   = "open"   // client: connect and start workers
	opDrive  = "drive"  // client: make calls for a while
	opClose  = "close"  // client: end what open began
)

// A command is what the parent wants.
type command struct {
	Op   string
	Addr string `json:",omitempty"`
	scenario
	Duration time.Duration `json:",omitempty"`
}

// A reply is what it is told.
type reply struct {
	Addr    string `json:",omitempty"`
	TLSAddr string `json:",omitempty"`
	Calls   int64
	Elapsed time.Duration
	P50     time.Duration
	P99     time.Duration
	Usage   usage
	Memory  memory
}

// runChild is a child process: it answers commands until its input ends.
func runChild(_ context.Context, cfg config) error {
	debug.SetMemoryLimit(memoryLimit)
	limit, err := time.ParseDuration(os.Getenv(limitVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", limitVariable, err)
	}
	watchdog := time.AfterFunc(limit, func() {
		fmt.Fprintf(os.Stderr, "bench: %s of %s: not done after %v\n", cfg.role, cfg.impl, limit)
		os.Exit(3)
	})
	defer watchdog.Stop()
	impl, err := findImplementation(cfg.impl)
	if err != nil {
		return err
	}
	conf, err := tlsConfig(os.Getenv(identityVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", identityVariable, err)
	}
	if cfg.profile != "" {
		stop, err := profile(filepath.Join(cfg.profile, cfg.impl+"-"+cfg.role+".pprof"))
		if err != nil {
			return err
		}
		defer stop()
	}
	switch cfg.role {
	case "server":
		var addrs reply
		for _, l := range []struct {
			addr *string
			conf *tls.Config
		}{{&addrs.Addr, nil}, {&addrs.TLSAddr, conf}} {
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			*l.addr = lis.Addr().String()
			defer impl.serve(lis, l.conf)()
		}
		return child.Answer(os.Stdin, os.Stdout, func(c command) (reply, error) { return serverCommand(c, addrs) })
	case "client":
		var s *session
		defer func() { s.close() }()
		return child.Answer(os.Stdin, os.Stdout, func(c command) (r reply, err error) {
			s, r, err = clientCommand(s, impl, c, conf)
			return r, err
		})
	default:
		return fmt.Errorf("-role %q is neither client nor server", cfg.role)
	}
}

// profile writes a CPU profile until stop is called.
func profile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}, nil
}

// serverCommand carries out a command to a server.
func serverCommand(c command, addrs reply) (reply, error) {
	switch c.Op {
	case opAddr:
		return addrs, nil
	case opUsage:
		return reply{Usage: currentUsage()}, nil
	case opMemory:
		return reply{Memory: currentMemory()}, nil
	default:
		return reply{}, fmt.Errorf("a server has no command %q", c.Op)
	}
}

// clientCommand carries out a command to a client. It returns the session that
// is open afterwards.
func clientCommand(s *session, impl implementation, c command, conf *tls.Config) (*session, reply, error) {
	switch {
	case c.Op == opOpen && s == nil:
		s, err := openSession(impl, c, conf)
		return s, reply{}, err
	case c.Op == opDrive && s != nil:
		r, err := s.drive(c.Duration)
		return s, r, err
	case c.Op == opClose && s != nil:
		s.close()
		return nil, reply{}, nil
	default:
		return s, reply{}, fmt.Errorf("a client has no command %q now", c.Op)
	}
}
