package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// An outcome is how a case ended.
type outcome string

const (
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "skipped"
)

// A result is one case, such as http2/6.9.1/2, with its outcome.
type result struct {
	id      string
	title   string
	outcome outcome
}

// A tally counts results.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	return fmt.Sprintf("%d cases: %d passed, %d failed, %d skipped", t.passed+t.failed+t.skipped, t.passed, t.failed, t.skipped)
}

func count(results []result) (t tally) {
	for _, r := range results {
		switch r.outcome {
		case passed:
			t.passed++
		case failed:
			t.failed++
		case skipped:
			t.skipped++
		}
	}
	return t
}

// parseJUnit reads h2spec's report. A case has no name of its own there: it is
// the n-th of its section. The texts in it are not escaped, so that it is read
// as leniently as the decoder can.
func parseJUnit(r io.Reader) ([]result, error) {
	var report struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Title   string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	d := xml.NewDecoder(r)
	d.Strict = false
	if err := d.Decode(&report); err != nil {
		return nil, fmt.Errorf("the report: %w", err)
	}
	var results []result
	for _, s := range report.Suites {
		for i, c := range s.Cases {
			res := result{id: s.Package + "/" + strconv.Itoa(i+1), title: c.Title, outcome: passed}
			switch {
			case c.Failure != nil || c.Error != nil:
				res.outcome = failed
			case c.Skipped != nil:
				res.outcome = skipped
			}
			results = append(results, res)
		}
	}
	return results, nil
}

var (
	// sectionLine is the title of a section in h2specd's output.
	sectionLine = regexp.MustCompile(`^\s*([0-9]+(?:\.[0-9]+)*)\. \S`)
	// caseLine is one case in it.
	caseLine = regexp.MustCompile(`^\s*(✔ |× |)([0-9]+): (.*)$`)
)

// parseOutput reads what h2specd prints, which writes no report: sections, and
// below each its cases. After "Failures:" those that failed come again.
func parseOutput(text string) []result {
	var results []result
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line[strings.LastIndexByte(line, '\r')+1:], "\n")
		if strings.HasPrefix(line, "Failures:") {
			break
		}
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		m := caseLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		res := result{id: "client/" + section + "/" + m[2], title: m[3], outcome: skipped}
		switch m[1] {
		case "✔ ":
			res.outcome = passed
		case "× ":
			res.outcome = failed
		}
		results = append(results, res)
	}
	return results
}
