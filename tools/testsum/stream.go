package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// An event is one line of go test -json (see go doc test2json), of which a
// build event (go doc buildjson) shares the fields that matter here.
type event struct {
	Action      string
	Package     string
	ImportPath  string // build events only
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string // the build that made the package fail
}

// A testKey names a test; the empty name stands for its package.
type testKey struct{ pkg, test string }

// A stream turns the events of one go test into readable output and a count.
// What a passing test printed is dropped; what a failing one printed is shown
// when it ends.
type stream struct {
	w     io.Writer
	tally *tally

	output   map[testKey][]string
	running  map[testKey]bool
	parents  map[testKey]bool // has subtests
	broken   map[testKey]bool // has a subtest that failed
	inPkg    map[string]int   // failures by package
	builds   map[string][]string
	failures int
}

func newStream(w io.Writer, t *tally) *stream {
	return &stream{
		w: w, tally: t,
		output:  map[testKey][]string{},
		running: map[testKey]bool{},
		parents: map[testKey]bool{},
		broken:  map[testKey]bool{},
		inPkg:   map[string]int{},
		builds:  map[string][]string{},
	}
}

// read consumes events until r ends. A line that is not an event is printed
// as it is: the go command itself speaks that way.
func (s *stream) read(r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				s.add(e)
			} else {
				fmt.Fprintf(s.w, "%s", line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add applies one event.
func (s *stream) add(e event) {
	key := testKey{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case "run":
		s.running[key] = true
		if up, ok := parent(key); ok {
			s.parents[up] = true
		}
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(key, e)
		}
	}
}

// endTest counts a test. One that has subtests counts only when it failed and
// none of them did.
func (s *stream) endTest(key testKey, e event) {
	switch e.Action {
	case "pass":
		if !s.parents[key] {
			s.tally.passed++
		}
	case "fail":
		s.print(key)
		if !s.broken[key] {
			s.fail(key.pkg)
		}
		if up, ok := parent(key); ok {
			s.broken[up] = true
		}
	case "skip":
		s.print(key)
	}
	delete(s.output, key)
	delete(s.running, key)
}

// endPackage prints the package's line, and for a failure what the tests
// which never ended had printed.
func (s *stream) endPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(s.w, "ok\t%s\t%.2fs\n", e.Package, e.Elapsed)
	case "fail":
		for key := range s.running {
			if key.pkg == e.Package {
				s.print(key)
				delete(s.output, key)
				delete(s.running, key)
			}
		}
		for _, text := range s.builds[e.FailedBuild] {
			fmt.Fprint(s.w, text)
		}
		s.print(testKey{pkg: e.Package})
		if s.inPkg[e.Package] == 0 {
			s.fail(e.Package)
		}
	}
	delete(s.output, testKey{pkg: e.Package})
}

// fail counts one failure of a package.
func (s *stream) fail(pkg string) {
	s.tally.failed++
	s.failures++
	s.inPkg[pkg]++
}

// print writes what the test printed.
func (s *stream) print(key testKey) {
	for _, text := range s.output[key] {
		fmt.Fprint(s.w, text)
	}
}

// parent returns the test of which key is a subtest.
func parent(key testKey) (testKey, bool) {
	i := strings.LastIndexByte(key.test, '/')
	if i < 0 {
		return testKey{}, false
	}
	return testKey{key.pkg, key.test[:i]}, true
}
