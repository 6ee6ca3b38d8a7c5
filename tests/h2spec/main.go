package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "h2spec:", err)
		os.Exit(1)
	}
}

// run carries out a command.
func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{
		"server": server, "client": client, "serve": serve, "probe": probe,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("usage: h2spec server|client|serve|probe …")
	}
	return commands[args[0]](ctx, args[1:])
}

// server runs h2spec against each of the servers.
func server(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	tool := flags.String("tool", "", "the program h2spec")
	only := flags.String("only", "", "one of the servers; empty is all")
	verbose := flags.Bool("v", false, "print what the suite prints")
	flags.Parse(args)
	var runs []suite
	for _, k := range kinds() {
		if *only == "" || *only == k.name {
			runs = append(runs, serverSuite(*tool, k))
		}
	}
	return runAll(ctx, runs, *verbose)
}

// client runs h2specd with this program's own probe.
func client(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	tool := flags.String("tool", "", "the program h2specd")
	verbose := flags.Bool("v", false, "print what the suite prints")
	flags.Parse(args)
	return runAll(ctx, []suite{clientSuite(*tool)}, *verbose)
}

// serve serves until it is interrupted.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:0", "the address to listen on")
	full := flags.Bool("full", false, "the whole gRPC server instead of the transport")
	useTLS := flags.Bool("tls", false, "TLS with a certificate made now")
	flags.Parse(args)
	s, err := start(serverKind{full: *full, tls: *useTLS}, *addr)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Println("listening on", s.addr)
	<-ctx.Done()
	return nil
}

// runAll runs suites one after another and prints a line for each, and one for
// each case that is not as it must be.
func runAll(ctx context.Context, suites []suite, verbose bool) error {
	if len(suites) == 0 {
		return fmt.Errorf("there is no such server")
	}
	list, err := readExceptions(exceptionsText)
	if err != nil {
		return err
	}
	bad := 0
	for _, s := range suites {
		r, err := s.run(ctx, verbose)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		faults := compare(s.name, s.cases, r.results, list)
		fmt.Printf("%-10s %v in %.1f s\n", s.name, count(r.results), r.took.Seconds())
		for _, f := range faults {
			fmt.Printf("%-10s %s %s\n", s.name, f.id, f.text)
		}
		bad += len(faults)
	}
	if bad > 0 {
		return fmt.Errorf("%d cases are not as they must be; -v shows what was expected", bad)
	}
	return nil
}
