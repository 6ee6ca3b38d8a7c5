package framescript

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An expectStep is "expect FRAME …" or "await FRAME …": the one takes the next
// frame and wants it to match, the other takes frames until one matches.
type expectStep struct {
	phrase
	skip   bool          // await
	within time.Duration // 0: the script's limit
}

func parseExpect(rest []word, skip bool) (action, error) {
	s := &expectStep{skip: skip}
	var said []word
	for _, w := range rest {
		if w.key != withinKey || w.op != "=" || w.quoted {
			said = append(said, w)
			continue
		}
		d, err := duration(w)
		if err != nil {
			return nil, err
		}
		s.within = d
	}
	var err error
	if s.phrase, err = parsePhrase(said, expectable); err != nil {
		return nil, err
	}
	if s.name == "nothing" && skip {
		return nil, errors.New("nothing can be expected, not awaited")
	}
	return s, nil
}

// run waits for the frame.
func (s *expectStep) run(p *peer) error {
	within := s.within
	if within == 0 {
		within = p.limit
	}
	deadline := time.Now().Add(within)
	var passed []string // what await has taken
	for {
		e, ok := p.next(deadline)
		switch {
		case !ok && s.name == "nothing":
			return nil
		case !ok:
			return fmt.Errorf("want %v, and in %v came %s", &s.phrase, within, orNothing(passed))
		}
		found, err := s.match(p, &e)
		if err != nil {
			return err
		}
		switch {
		case found && e.name == "close":
			p.forgive()
			return nil
		case found:
			if e.name == "GOAWAY" {
				p.forgive()
			}
			return p.violated()
		case e.name == "close":
			return fmt.Errorf("want %v, but %w (%s) after %s", &s.phrase, errGone, clip(e.text), orNothing(passed))
		case s.skip:
			passed = append(passed[:min(len(passed), 8)], e.String())
		case e.answered || slices.Contains(p.ignored, e.name):
		default:
			return fmt.Errorf("want %v, came %v", &s.phrase, &e)
		}
	}
}

// orNothing lists frames.
func orNothing(frames []string) string {
	if len(frames) == 0 {
		return "nothing"
	}
	return strings.Join(frames, ", ")
}

// next takes the oldest frame, or waits for one until the deadline. The end of
// the connection stays, whoever asks.
func (p *peer) next(deadline time.Time) (event, bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if !p.m.await(time.Until(deadline), func() bool { return len(p.in.events) > 0 }) {
		return event{}, false
	}
	e := p.in.events[0]
	if e.name != "close" {
		p.in.events = p.in.events[1:]
	}
	return e, true
}

// match reports whether e is what the step wants, and if so sets the variables
// that the step asks for by "?name".
func (s *expectStep) match(p *peer, e *event) (bool, error) {
	if s.name != e.name {
		return false, nil
	}
	for name, want := range s.flags {
		if e.flag(name) != want {
			return false, nil
		}
	}
	captures := map[string]string{}
	for _, a := range s.keys {
		ok, err := matches(p.vars, a, []string{e.attribute(a.key)}, captures)
		if !ok || err != nil {
			return false, err
		}
	}
	for _, a := range s.fields {
		ok, err := matches(p.vars, a, e.values(a.key), captures)
		if !ok || err != nil {
			return false, err
		}
	}
	for name, text := range captures {
		p.vars[name] = text
	}
	return true, nil
}

// values returns those of a header field, or of a setting the last.
func (e *event) values(key string) []string {
	var all []string
	for _, f := range e.fields {
		if f.Name == key {
			all = append(all, f.Value)
		}
	}
	if id, err := parseSetting(key); err == nil && e.name == "SETTINGS" {
		for _, s := range e.settings {
			if s.ID == id {
				all = []string{fmt.Sprint(s.Val)}
			}
		}
	}
	return all
}

// matches compares what came with one argument. Numbers need not be written
// alike.
func matches(vars variables, a arg, came []string, captures map[string]string) (bool, error) {
	if name, ok := strings.CutPrefix(a.val.text, "?"); ok && isName(name) && a.op == "=" {
		if len(came) > 0 {
			captures[name] = came[0]
		}
		return len(came) > 0, nil
	}
	want, err := vars.text(a.val)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(came, func(got string) bool {
		if a.op == "~=" {
			return strings.Contains(got, want)
		}
		return got == want || sameNumber(a.key, got, want)
	}), nil
}

// sameNumber compares numbers and error codes by value.
func sameNumber(key, got, want string) bool {
	if key == "code" {
		g, err1 := parseCode(got)
		w, err2 := parseCode(want)
		return err1 == nil && err2 == nil && g == w
	}
	if key == "debug" {
		return false
	}
	g, err1 := parseNumber(got)
	w, err2 := parseNumber(want)
	return err1 == nil && err2 == nil && g == w
}
