package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	// fuzzTarget matches the head of a fuzz target.
	fuzzTarget = regexp.MustCompile(`(?m)^func Fuzz`)
	// fuzzExecs matches the counter in a fuzzing worker's report.
	fuzzExecs = regexp.MustCompile(`execs: (\d+)`)
)

// fuzz runs each fuzz target of each module for the same short time.
func (r *runner) fuzz() {
	for _, m := range r.modules {
		for _, path := range m.packagesWith(fuzzTarget) {
			out, err := m.command("test", "-list=^Fuzz", path).CombinedOutput()
			if err != nil {
				r.tally.failPackage(path, string(out))
				continue
			}
			for line := range strings.Lines(string(out)) {
				if name := strings.TrimSpace(line); strings.HasPrefix(name, "Fuzz") {
					r.fuzzOne(m, path, name)
				}
			}
		}
	}
}

// fuzzOne runs one target and counts it as one test.
//
// Where the time runs out while a worker is between two inputs, the testing
// package may report "context deadline exceeded" though no input failed. Such
// a run is repeated once; a real failure names the input it wrote.
func (r *runner) fuzzOne(m module, path, name string) {
	for attempt := 0; ; attempt++ {
		start := time.Now()
		out, err := m.command("test", "-run=^$", "-fuzz=^"+name+"$",
			"-fuzztime="+r.fuzzTime.String(), "-parallel=2",
			"-timeout="+(r.fuzzTime+r.timeout).String(), path).CombinedOutput()
		text := string(out)
		if err == nil {
			r.tally.passed++
			fmt.Printf("ok\t%s\t%s\t%s execs\t%.2fs\n", path, name, lastExecs(text), time.Since(start).Seconds())
			return
		}
		if attempt == 0 && ranOut(text) {
			fmt.Printf("again\t%s\t%s: the time ran out between two inputs\n", path, name)
			continue
		}
		r.tally.failPackage(path+"\t"+name, text)
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
