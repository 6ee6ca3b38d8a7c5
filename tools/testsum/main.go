package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A runner holds what the phases share.
type runner struct {
	// Set by main, read-only afterwards.
	modules  []module
	short    bool
	race     bool
	fuzzTime time.Duration
	timeout  time.Duration

	mu sync.Mutex // taken where targets run side by side
	// Guarded by mu.
	tally tally
}

// A phase is one way of running tests.
type phase struct {
	name string
	run  func(*runner)
}

// phases lists what can be run, in the order in which it runs.
var phases = []phase{
	{"unit", (*runner).unit},
	{"allocs", (*runner).allocs},
	{"fuzz", (*runner).fuzz},
}

func main() {
	root := flag.String("root", ".", "the folder that contains the modules")
	only := flag.String("only", "unit,allocs,fuzz", "the phases to run, separated by commas")
	full := flag.Bool("full", false, "leave out -short")
	fuzzTime := flag.Duration("fuzztime", 3*time.Second, "how long each fuzz target runs")
	timeout := flag.Duration("timeout", 10*time.Minute, "the time a test binary has")
	flag.Parse()

	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(phases, func(p phase) bool { return p.name == name }) {
			fmt.Fprintf(os.Stderr, "testsum: no phase %q\n", name)
			os.Exit(2)
		}
	}
	// One setting for every command: it decides which files a package has.
	race := haveCompiler()
	cgo := "0"
	if race {
		cgo = "1"
	}
	os.Setenv("CGO_ENABLED", cgo)
	modules, err := findModules(*root)
	if err != nil {
		fmt.Fprintf(os.Stderr, "testsum: %v\n", err)
		os.Exit(2)
	}
	r := &runner{modules: modules, race: race, short: !*full, fuzzTime: *fuzzTime, timeout: *timeout}

	for _, p := range phases {
		if slices.Contains(wanted, p.name) {
			start := time.Now()
			p.run(r)
			fmt.Printf("-- %s: %s\n", p.name, time.Since(start).Round(time.Second))
		}
	}
	fmt.Println(r.tally.String())
	if !r.tally.ok() {
		os.Exit(1)
	}
}

// haveCompiler reports whether the race detector can be linked, which needs
// cgo, and with it a C compiler and the headers of the C library.
func haveCompiler() bool {
	out, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		return false
	}
	cc := strings.Fields(string(out))
	if len(cc) == 0 {
		return false
	}
	cmd := exec.Command(cc[0], append(cc[1:], "-x", "c", "-fsyntax-only", "-")...)
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\n")
	return cmd.Run() == nil
}

// unit runs every test of every module.
func (r *runner) unit() {
	args := []string{"-shuffle=on"}
	if r.race {
		args = append(args, "-race")
	} else {
		fmt.Println("no C compiler: testing without the race detector")
		args = append(args, "-skip=^TestAllocs") // the next phase runs them
	}
	if r.short {
		args = append(args, "-short")
	}
	for _, m := range r.modules {
		r.goTest(m, append(args, "./..."))
	}
}

// allocTest matches the head of an allocation test.
var allocTest = regexp.MustCompile(`(?m)^func TestAllocs`)

// allocs runs the tests that count allocations.
func (r *runner) allocs() {
	for _, m := range r.modules {
		pkgs := m.packagesWith(allocTest)
		if len(pkgs) == 0 {
			continue
		}
		r.goTest(m, append([]string{"-run=^TestAllocs"}, pkgs...))
	}
}

// goTest runs go test in m and adds its events to the tally.
func (r *runner) goTest(m module, args []string) {
	args = append([]string{"test", "-json", "-timeout=" + r.timeout.String()}, args...)
	cmd := m.command(args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.tally.failPackage(m.dir, err.Error()+"\n")
		return
	}
	s := newStream(os.Stdout, &r.tally)
	readErr := s.read(out)
	err = cmd.Wait()
	if readErr != nil {
		r.tally.failPackage(m.dir, readErr.Error()+"\n")
	} else if err != nil && s.failures == 0 {
		r.tally.failPackage(m.dir, "go test: "+err.Error()+"\n")
	}
}
