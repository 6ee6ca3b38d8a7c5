package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A step is what matters here of one event of a trace.
type step struct {
	I     int
	Lane  string
	Cause int
	Bytes string
	Data  struct{ Fields []any }
}

// walk returns the trace that the page's walk shows, or nothing.
func (p *page) walk() string {
	for n := range p.elements() {
		if n.Data == "section" && hasClass(n, "walk") {
			trace, _ := attr(n, "data-trace")
			return trace
		}
	}
	return ""
}

// loadTrace reads the events of a trace; its first line is about the file.
func loadTrace(name string) ([]step, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var steps []step
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var s step
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		if s.I > 0 {
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// A walker steps through one walk.
type walker struct {
	r     *report
	t     *tab
	url   string
	page  string
	shots string // the folder for pictures; none if empty
	part  string // of the check
	steps []step
}

// walkParts lists the ways in which a walk is used.
var walkParts = []struct {
	name string
	use  func(*walker) error
}{
	{"keys", (*walker).keys},
	{"pointer", (*walker).pointer},
	{"address", (*walker).address},
	{"phone", (*walker).phone},
	{"without scripts", (*walker).plain},
}

// checkWalk uses the viewer of a walk in the ways whose names begin so.
func checkWalk(r *report, b *browser, url string, s *site, p *page, shots, parts string) error {
	trace := p.walk()
	if trace == "" {
		return nil
	}
	steps, err := loadTrace(filepath.Join(s.dir, filepath.FromSlash(trace)))
	if err != nil {
		return err
	}
	t, err := b.open(url)
	if err != nil {
		return err
	}
	defer t.close()
	w := &walker{r: r, t: t, url: url, page: p.path, shots: shots, steps: steps}
	for _, part := range walkParts {
		if !strings.HasPrefix(part.name, parts) {
			continue
		}
		w.part = part.name
		if err := part.use(w); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		t.seen(r, p.path, "walk")
	}
	return nil
}

// visit opens the walk in a view, at a fragment.
func (w *walker) visit(v view, fragment string) error {
	if err := w.t.see(v); err != nil {
		return err
	}
	if err := w.t.visit(w.url + w.page + fragment); err != nil {
		return err
	}
	return w.t.ready()
}

// shows checks that the viewer is at event i in all its parts: the counter,
// the sentence, the cursor, and the address if it was moved there.
func (w *walker) shows(i int, hash string, after string) error {
	var got struct {
		Count, Say, Want, Hash string
		Away                   float64
		Bytes                  string
	}
	err := w.t.eval(`(() => {
		const q = (s) => document.querySelector(s), middle = (e) => { const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; };
		const [x, y] = middle(q('.walk-lanes .cursor')), [X, Y] = middle(q('.event[data-i="`+strconv.Itoa(i)+`"] > .hit'));
		return {
			count: q('.walk-count').textContent, say: q('.walk-step .say')?.textContent ?? '', want: q('#event-`+strconv.Itoa(i)+` .say').textContent,
			hash: location.hash, away: Math.hypot(x - X, y - Y), bytes: [...document.querySelectorAll('.walk-bytes tr td:first-child')].map((c) => c.textContent).join(''),
		};
	})()`, &got)
	if err != nil {
		return err
	}
	count := fmt.Sprintf("%d of %d", i, len(w.steps))
	w.is(got.Count == count, "%s: the counter says %q, want %q", after, got.Count, count)
	w.is(got.Say != "" && got.Say == got.Want, "%s: it says %q, want %q", after, got.Say, got.Want)
	w.is(got.Hash == hash, "%s: the address ends in %q, want %q", after, got.Hash, hash)
	w.is(got.Away < 3, "%s: the cursor is %.0f pixels from event %d", after, got.Away, i)
	if want := w.steps[i-1].Bytes; want != "" {
		bytes := strings.ReplaceAll(got.Bytes, " ", "")
		w.is(bytes == want, "%s: the bytes are %s, want %s", after, bytes, want)
	}
	return nil
}

// is adds a finding unless ok holds.
func (w *walker) is(ok bool, format string, args ...any) {
	w.r.is(ok, w.page, "walk", "%s: %s", w.part, fmt.Sprintf(format, args...))
}

// inLane returns the next event of a goroutine in one direction.
func (w *walker) inLane(at, step int) int {
	for i := at + step; i >= 1 && i <= len(w.steps); i += step {
		if w.steps[i-1].Lane == w.steps[at-1].Lane {
			return i
		}
	}
	return at
}

// caused returns an event whose cause is on another goroutine, so that Enter
// goes where no other key does.
func (w *walker) caused() int {
	for _, s := range w.steps {
		if s.Cause > 0 && w.steps[s.Cause-1].Lane != s.Lane {
			return s.I
		}
	}
	return 1
}

// keys steps by keyboard.
func (w *walker) keys() error {
	if err := w.visit(views[0].view, ""); err != nil {
		return err
	}
	last, far := len(w.steps), w.caused()
	if err := w.shows(1, "", "at first"); err != nil {
		return err
	}
	at := 1
	press := func(key string, to int) error {
		if err := w.t.press(key); err != nil {
			return err
		}
		after := fmt.Sprintf("%s at %d", key, at)
		at = to
		return w.shows(to, "#e"+strconv.Itoa(to), after)
	}
	for _, key := range []string{"ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowRight", "ArrowUp", "ArrowLeft", "Home", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowUp"} {
		to := map[string]int{
			"ArrowRight": min(at+1, last), "ArrowLeft": max(at-1, 1), "End": last, "Home": 1,
			"ArrowDown": w.inLane(at, 1), "ArrowUp": w.inLane(at, -1),
		}[key]
		if err := press(key, to); err != nil {
			return err
		}
	}
	for at < far { // every event on the way is shown
		if err := press("ArrowRight", at+1); err != nil {
			return err
		}
	}
	if err := press("Enter", w.steps[far-1].Cause); err != nil {
		return err
	}
	for at < last && w.steps[at].Lane == w.steps[at-1].Lane { // to where another goroutine goes on
		if err := press("ArrowRight", at+1); err != nil {
			return err
		}
	}
	if err := press("ArrowDown", w.inLane(at, 1)); err != nil {
		return err
	}
	return press("ArrowUp", w.inLane(at, -1))
}

// pointer clicks: an event in the lanes, the buttons, and what was the cause.
func (w *walker) pointer() error {
	if err := w.visit(views[0].view, ""); err != nil {
		return err
	}
	middle, far := len(w.steps)/2, w.caused()
	for _, c := range []struct {
		on string
		to int
	}{
		{`.event[data-i="5"] .hit`, 5}, {`.walk-bar .next`, 6}, {`.walk-bar .prev`, 5},
		{`.event[data-i="` + strconv.Itoa(middle) + `"] .hit`, middle},
		{`.event[data-i="` + strconv.Itoa(far) + `"] .hit`, far}, {`.walk-step a.cause`, w.steps[far-1].Cause},
	} {
		if err := w.t.click(c.on); errors.Is(err, errNoElement) {
			w.is(false, "%v", err)
			continue
		} else if err != nil {
			return err
		}
		if err := w.shows(c.to, "#e"+strconv.Itoa(c.to), "a click on "+c.on); err != nil {
			return err
		}
	}
	return nil
}

// address opens the walk at the first event that has bytes, and at one that is not
// there. The picture of that event is taken in each view.
func (w *walker) address() error {
	i := 1 + max(0, slices.IndexFunc(w.steps, func(s step) bool { return s.Bytes != "" }))
	hash := "#e" + strconv.Itoa(i)
	for _, v := range slices.Backward(views) {
		if err := w.visit(v.view, hash); err != nil {
			return err
		}
		if err := w.shows(i, hash, "opened at "+hash+", "+v.name); err != nil {
			return err
		}
		if w.shots != "" {
			if err := w.t.shoot(filepath.Join(w.shots, shotName(w.page, hash[1:]+"-"+v.name))); err != nil {
				return err
			}
		}
	}
	changed := `new Promise((done) => { addEventListener('hashchange', () => setTimeout(done)); location.hash = '#e2'; })`
	if err := w.t.eval(changed, nil); err != nil {
		return err
	}
	if err := w.shows(2, "#e2", "after the address changed"); err != nil {
		return err
	}
	if err := w.visit(views[0].view, "#e999999"); err != nil {
		return err
	}
	return w.shows(len(w.steps), "#e999999", "opened at #e999999")
}

// phone counts the lanes at a desk and on a phone, which has one for each end.
func (w *walker) phone() error {
	for _, c := range []struct {
		view  view
		lanes func(n int) bool
	}{
		{views[0].view, func(n int) bool { return n > 2 }},
		{views[2].view, func(n int) bool { return n == 2 }},
	} {
		if err := w.visit(c.view, "#e3"); err != nil {
			return err
		}
		var n, events int
		if err := w.t.eval(`document.querySelectorAll('.walk-lanes rect.lane').length`, &n); err != nil {
			return err
		}
		if err := w.t.eval(`document.querySelectorAll('.walk-lanes .event').length`, &events); err != nil {
			return err
		}
		w.is(c.lanes(n), "%s: %d lanes", c.view.name, n)
		w.is(events == len(w.steps), "%s: %d events are drawn, want %d", c.view.name, events, len(w.steps))
		if err := w.shows(3, "#e3", c.view.name); err != nil {
			return err
		}
	}
	return nil
}

// plain reads the walk without scripts: each event has a sentence, what it is,
// and its fields and bytes where the trace has them.
func (w *walker) plain() error {
	if err := w.t.scripts(false); err != nil {
		return err
	}
	if err := w.t.see(views[0].view); err != nil {
		return err
	}
	if err := w.t.visit(w.url + w.page); err != nil { // no viewer will be ready
		return err
	}
	var got struct {
		Steps, Hidden, Say, Bytes, Fields int
		Stage                             bool
	}
	err := w.t.eval(`(() => {
		const all = (s) => [...document.querySelectorAll(s)], seen = (e) => e.checkVisibility() && e.getBoundingClientRect().height > 8;
		return {
			steps: all('.walk-steps > .step').length, hidden: all('.walk-steps > .step').filter((e) => !seen(e)).length,
			say: all('.walk-steps .say').filter((e) => seen(e) && e.textContent.trim()).length,
			bytes: all('.walk-steps .bytes').filter(seen).length, fields: all('.walk-steps .fields').filter(seen).length, stage: all('.walk-stage').some(seen),
		};
	})()`, &got)
	if err != nil {
		return err
	}
	bytes, tables := 0, 0
	for _, s := range w.steps {
		if s.Bytes != "" {
			bytes++
		}
		if len(s.Data.Fields) > 0 {
			tables++
		}
	}
	n := len(w.steps)
	w.is(got.Steps == n && got.Hidden == 0, "%d events, %d of them unseen, want %d and 0", got.Steps, got.Hidden, n)
	w.is(got.Say == n, "%d sentences, want %d", got.Say, n)
	w.is(got.Bytes == bytes, "bytes of %d events, want %d", got.Bytes, bytes)
	w.is(!got.Stage, "the empty stage is shown")
	w.is(got.Fields == tables, "fields of %d events, want %d", got.Fields, tables)
	if w.shots != "" {
		if err := w.t.shoot(filepath.Join(w.shots, shotName(w.page, "plain"))); err != nil {
			return err
		}
	}
	return w.t.scripts(true)
}
