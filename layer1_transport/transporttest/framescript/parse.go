package framescript

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSteps bounds the lines of a script.
const maxSteps = 10000

// maxDepth bounds loops within loops.
const maxDepth = 8

// A step is one line of a script; one of a loop has steps of its own.
type step struct {
	line int
	do   action
}

// An action is what a step does.
type action interface {
	run(p *peer) error
}

// verbs are the first words of lines, and what parses the rest of each.
// "repeat" and "end" are not among them, since they span lines.
var verbs = map[string]func(rest []word) (action, error){
	"send":           parseSend,
	"raw":            parseRaw,
	"expect":         func(w []word) (action, error) { return parseExpect(w, false) },
	"await":          func(w []word) (action, error) { return parseExpect(w, true) },
	"ignore":         parseIgnore,
	"answer":         parseAnswer,
	"reading":        parseReading,
	"receive_buffer": parseReceiveBuffer,
	"drip":           parseDrip,
	"wait":           parseWait,
	"linger":         parseLinger,
	"limit":          parseLimit,
	"set":            parseSet,
	"count":          parseCount,
	"half_close":     func(w []word) (action, error) { return parseClose(w, halfClose) },
	"close":          func(w []word) (action, error) { return parseClose(w, fullClose) },
	"reset":          func(w []word) (action, error) { return parseClose(w, resetClose) },
}

// A parser holds what is known between lines.
type parser struct {
	script *Script
	role   bool // the line "client" or "server" was there
	open   []*repeatStep
	lines  []int // where each of open began
	steps  int
}

// Parse parses a script; name stands in errors.
func Parse(name, text string) (*Script, error) {
	p := &parser{script: &Script{name: name}}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if err := p.line(n, line); err != nil {
			return nil, &Error{Script: name, Line: n, Reason: err.Error()}
		}
	}
	if len(p.open) > 0 {
		return nil, &Error{Script: name, Line: p.lines[len(p.lines)-1], Reason: "repeat without an end"}
	}
	if !p.role {
		return nil, &Error{Script: name, Line: n, Reason: `no line "client" or "server"`}
	}
	return p.script, nil
}

// line parses one line.
func (p *parser) line(n int, line string) error {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "@"); ok {
		key, text, _ := strings.Cut(rest, " ")
		if !isName(key) {
			return fmt.Errorf("%q is no name for a note", clip(key))
		}
		p.script.notes = append(p.script.notes, note{key, strings.TrimSpace(text)})
		return nil
	}
	all, err := words(line)
	if err != nil || len(all) == 0 {
		return err
	}
	verb, rest := all[0], all[1:]
	if verb.op != "" || verb.quoted {
		return fmt.Errorf("%q is no step", clip(verb.String()))
	}
	if !p.role {
		if (verb.key != "client" && verb.key != "server") || len(rest) > 0 {
			return fmt.Errorf(`the first step must be "client" or "server", not %q`, clip(strings.TrimSpace(line)))
		}
		p.role, p.script.server = true, verb.key == "server"
		return nil
	}
	if p.steps++; p.steps > maxSteps {
		return fmt.Errorf("more than %d steps", maxSteps)
	}
	switch verb.key {
	case "repeat":
		return p.repeat(n, rest)
	case "end":
		return p.end(rest)
	}
	parse, ok := verbs[verb.key]
	if !ok {
		return fmt.Errorf("%q is no step", clip(verb.key))
	}
	do, err := parse(rest)
	if err != nil {
		return fmt.Errorf("%s: %w", verb.key, err)
	}
	p.add(step{n, do})
	return nil
}

// add puts a step at the end of the innermost loop, or of the script.
func (p *parser) add(s step) {
	if k := len(p.open); k > 0 {
		p.open[k-1].body = append(p.open[k-1].body, s)
		return
	}
	p.script.steps = append(p.script.steps, s)
}

// repeat parses "repeat COUNT [name=start+step …] [until=goaway|close]".
func (p *parser) repeat(n int, rest []word) error {
	if len(p.open) == maxDepth {
		return fmt.Errorf("loops more than %d deep", maxDepth)
	}
	if len(rest) == 0 || rest[0].op != "" {
		return fmt.Errorf("repeat: how many times?")
	}
	times, err := number(rest[0].key)
	if err != nil {
		return fmt.Errorf("repeat: %w", err)
	}
	r := &repeatStep{times: times}
	for _, w := range rest[1:] {
		switch {
		case w.op != "=" || !isName(w.key):
			return fmt.Errorf("repeat: %q is not name=start+step", clip(w.String()))
		case w.key == "until" && (w.val == "goaway" || w.val == "close"):
			r.until = w.val
		case w.key == "until":
			return fmt.Errorf("repeat: until=%s, want goaway or close", clip(w.val))
		default:
			start, by, found := strings.Cut(w.val, "+")
			c := counter{name: w.key}
			if c.start, err = number(start); err != nil {
				return fmt.Errorf("repeat: %w", err)
			}
			c.step, err = number(by)
			if !found {
				c.step, err = number("1")
			}
			if err != nil {
				return fmt.Errorf("repeat: %w", err)
			}
			r.counters = append(r.counters, c)
		}
	}
	p.add(step{n, r})
	p.open, p.lines = append(p.open, r), append(p.lines, n)
	return nil
}

// end closes the innermost loop.
func (p *parser) end(rest []word) error {
	k := len(p.open)
	if k == 0 || len(rest) > 0 {
		return fmt.Errorf("end without repeat, or with words after it")
	}
	p.open, p.lines = p.open[:k-1], p.lines[:k-1]
	return nil
}

// number parses a value that is a number, as far as that is known yet.
func number(text string) (value, error) {
	v, err := newValue(text)
	if err == nil && v.parts == nil {
		_, err = parseNumber(text)
	}
	return v, err
}

// words of the form key=duration.
func duration(w word) (time.Duration, error) {
	d, err := time.ParseDuration(w.val)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration", clip(w.String()))
	}
	return d, nil
}

// bare checks that no word has a value, and that each is one of allowed, if
// any are given. It returns the words.
func bare(rest []word, allowed ...string) ([]string, error) {
	var all []string
	for _, w := range rest {
		if w.op != "" || len(allowed) > 0 && !slices.Contains(allowed, w.key) {
			return nil, fmt.Errorf("%q is not expected here (%s)", clip(w.String()), strings.Join(allowed, ", "))
		}
		all = append(all, w.key)
	}
	return all, nil
}

// one returns the only word of rest, which has no value.
func one(rest []word, what string) (string, error) {
	if len(rest) != 1 || rest[0].op != "" {
		return "", fmt.Errorf("want %s and nothing else", what)
	}
	return rest[0].key, nil
}

// A word is one word of a line: "flag", "key=value" or "key~=value".
type word struct {
	key    string
	op     string // "", "=" or "~="
	val    string
	quoted bool // the key was written in quotes: it is a header field's name
}

// String returns the word much as it was written.
func (w word) String() string { return w.key + w.op + w.val }

// words splits a line. A "#" that begins a word begins a comment. Keys and
// values may be quoted as in Go, or be put together of quoted and bare parts.
func words(line string) ([]word, error) {
	var all []word
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return all, nil
		}
		var w word
		var err error
		w.quoted = line[0] == '"'
		if w.key, line, err = text(line, true); err != nil {
			return nil, err
		}
		for _, op := range []string{"~=", "="} {
			if rest, ok := strings.CutPrefix(line, op); ok {
				w.op = op
				if w.val, line, err = text(rest, false); err != nil {
					return nil, err
				}
				break
			}
		}
		all = append(all, w)
	}
}

// text takes a key or a value off the front of line.
func text(line string, key bool) (got, rest string, err error) {
	var b strings.Builder
	for line != "" && line[0] != ' ' && line[0] != '\t' && line[0] != '\r' {
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return "", "", fmt.Errorf("a quote without an end: %s", clip(line))
			}
			part, err := strconv.Unquote(q)
			if err != nil {
				return "", "", fmt.Errorf("bad quoting: %s", clip(q))
			}
			b.WriteString(part)
			line = line[len(q):]
			continue
		}
		if key && (line[0] == '=' || strings.HasPrefix(line, "~=")) {
			break
		}
		b.WriteByte(line[0])
		line = line[1:]
	}
	return b.String(), line, nil
}
