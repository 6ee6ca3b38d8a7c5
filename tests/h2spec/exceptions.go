package main

import (
	_ "embed" // for exceptions.txt
	"fmt"
	"strings"
)

//go:embed exceptions.txt
var exceptionsText string

// An exception is a case that does not pass, and why that is right.
type exception struct {
	suite, id string
	outcome   outcome
	reason    string
}

// readExceptions reads the list: suite, case, outcome and reason in each line.
func readExceptions(text string) ([]exception, error) {
	var list []exception
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != string(failed) && f[2] != string(skipped) {
			return nil, fmt.Errorf("exceptions.txt: %q is not suite, case, failed or skipped, reason", line)
		}
		list = append(list, exception{f[0], f[1], outcome(f[2]), strings.Join(f[3:], " ")})
	}
	return list, nil
}

// A fault is something that is not as it must be, with a case or the suite as
// a whole, whose id is empty.
type fault struct{ id, text string }

// compare says what of a suite's results is not as it must be: cases that did
// not pass without being on the list, and cases of the list that did.
func compare(suite string, cases int, results []result, list []exception) (faults []fault) {
	want := map[string]exception{}
	for _, e := range list {
		if e.suite == suite {
			want[e.id] = e
		}
	}
	for _, r := range results {
		e, listed := want[r.id]
		delete(want, r.id)
		switch {
		case !listed && r.outcome != passed:
			faults = append(faults, fault{r.id, fmt.Sprintf("%s: %s", r.outcome, r.title)})
		case listed && r.outcome != e.outcome:
			faults = append(faults, fault{r.id, fmt.Sprintf("%s: %s (exceptions.txt has it as %s: %s)", r.outcome, r.title, e.outcome, e.reason)})
		}
	}
	for id := range want {
		faults = append(faults, fault{"", "exceptions.txt has " + id + ", which did not run"})
	}
	if len(results) != cases {
		faults = append(faults, fault{"", fmt.Sprintf("%d cases ran, the suite has %d", len(results), cases)})
	}
	return faults
}
