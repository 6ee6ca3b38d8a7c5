package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

var (
	// fuzzTarget matches the head of a fuzz target.
	fuzzTarget = regexp.MustCompile(`(?m)^func Fuzz`)
	// fuzzExecs matches the counter in a fuzzing worker's report.
	fuzzExecs = regexp.MustCompile(`execs: (\d+)`)
)

// fuzzAtOnce is how many targets run side by side, each with one worker: most
// of a short run is the start of its workers.
const fuzzAtOnce = 2

// fuzzMinimize is how often an input that covers something new is tried with
// less of it. The default is a minute for each, so that a short run does little
// else: with this it makes two to seven times as many tries.
const fuzzMinimize = "20x"

// A target is one fuzz target.
type target struct {
	m          module
	path, name string
}

// fuzz runs each fuzz target of each module for the same short time.
func (r *runner) fuzz() {
	targets := make(chan target)
	var running sync.WaitGroup
	for range fuzzAtOnce {
		running.Add(1)
		go r.fuzzTargets(targets, &running)
	}
	for _, m := range r.modules {
		for _, path := range m.packagesWith(fuzzTarget) {
			out, err := m.command("test", "-list=^Fuzz", path).CombinedOutput()
			if err != nil {
				r.mu.Lock()
				r.tally.failPackage(path, string(out))
				r.mu.Unlock()
				continue
			}
			for line := range strings.Lines(string(out)) {
				if name := strings.TrimSpace(line); strings.HasPrefix(name, "Fuzz") {
					targets <- target{m, path, name}
				}
			}
		}
	}
	close(targets)
	running.Wait()
}

// fuzzTargets runs one target after another.
func (r *runner) fuzzTargets(targets <-chan target, running *sync.WaitGroup) {
	defer running.Done()
	for t := range targets {
		r.fuzzOne(t)
	}
}

// fuzzOne runs one target and counts it as one test.
//
// Where the time runs out while a worker is between two inputs, the testing
// package may report "context deadline exceeded" though no input failed. Such
// a run is repeated once; a real failure names the input it wrote.
func (r *runner) fuzzOne(t target) {
	for attempt := 0; ; attempt++ {
		start := time.Now()
		out, err := t.m.command("test", "-run=^$", "-fuzz=^"+t.name+"$",
			"-fuzztime="+r.fuzzTime.String(), "-fuzzminimizetime="+fuzzMinimize, "-parallel=1",
			"-timeout="+(r.fuzzTime+r.timeout).String(), t.path).CombinedOutput()
		text := string(out)
		if err != nil && attempt == 0 && ranOut(text) {
			fmt.Printf("again\t%s\t%s: the time ran out between two inputs\n", t.path, t.name)
			continue
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.tally.failPackage(t.path+"\t"+t.name, text)
			return
		}
		r.tally.passed++
		fmt.Printf("ok\t%s\t%s\t%s execs\t%.2fs\n", t.path, t.name, lastExecs(text), time.Since(start).Seconds())
		return
	}
}

// lastExecs returns the last count of executions in a fuzzing report.
func lastExecs(report string) string {
	all := fuzzExecs.FindAllStringSubmatch(report, -1)
	if len(all) == 0 {
		return "?"
	}
	return all[len(all)-1][1]
}

// ranOut reports whether a fuzzing run failed only because its time was over.
func ranOut(report string) bool {
	return strings.Contains(report, "context deadline exceeded") &&
		!strings.Contains(report, "Failing input written to")
}
