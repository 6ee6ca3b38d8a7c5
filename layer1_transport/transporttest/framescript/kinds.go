package framescript

import (
	"fmt"
	"slices"
	"strings"
)

// A kind is what may stand after the name of a frame.
type kind struct {
	keys   []string // that lead a value
	flags  []string // set by their name, left out by "-" and the name
	fields bool     // other words with values are header fields
	sets   bool     // other words with values are settings
}

// kinds are the frames that scripts speak of, with what of each can be said
// when it is sent. FRAME is one of any type with any payload.
var kinds = map[string]kind{
	"PREFACE":       {},
	"DATA":          {keys: split("stream message prefix flag payload len pad frame"), flags: split("END_STREAM PADDED OBEY")},
	"HEADERS":       {keys: split("stream request block split pad weight depends"), flags: split("END_STREAM END_HEADERS EXCLUSIVE UNINDEXED"), fields: true},
	"PRIORITY":      {keys: split("stream weight depends"), flags: split("EXCLUSIVE")},
	"RST_STREAM":    {keys: split("stream code")},
	"SETTINGS":      {keys: split("copies"), flags: split("ACK"), sets: true},
	"PUSH_PROMISE":  {keys: split("stream promised block"), flags: split("END_HEADERS UNINDEXED"), fields: true},
	"PING":          {keys: split("data"), flags: split("ACK")},
	"GOAWAY":        {keys: split("last code debug")},
	"WINDOW_UPDATE": {keys: split("stream incr")},
	"CONTINUATION":  {keys: split("stream block"), flags: split("END_HEADERS UNINDEXED"), fields: true},
	"FRAME":         {keys: split("type flags stream payload length")},
}

// expectable is what can be said of a frame that comes.
var expectable = map[string]kind{
	"PREFACE":       {},
	"DATA":          {keys: split("stream len"), flags: split("END_STREAM")},
	"HEADERS":       {keys: split("stream"), flags: split("END_STREAM"), fields: true},
	"PRIORITY":      {keys: split("stream")},
	"RST_STREAM":    {keys: split("stream code")},
	"SETTINGS":      {flags: split("ACK"), sets: true},
	"PUSH_PROMISE":  {keys: split("stream")},
	"PING":          {keys: split("data"), flags: split("ACK")},
	"GOAWAY":        {keys: split("last code debug")},
	"WINDOW_UPDATE": {keys: split("stream incr")},
	"FRAME":         {keys: split("stream type len")},
	"close":         {},
	"nothing":       {},
}

func split(s string) []string { return strings.Fields(s) }

// withinKey is the time that a step of its own may wait.
const withinKey = "within"

// An arg is one "key=value".
type arg struct {
	key string
	op  string // "=" or "~="
	val value
}

// A phrase is the name of a frame with what is said of it.
type phrase struct {
	name   string
	keys   []arg
	fields []arg // header fields or settings, in the order written
	flags  map[string]bool
}

// parsePhrase parses the words of a frame against what may stand there.
func parsePhrase(rest []word, table map[string]kind) (phrase, error) {
	if len(rest) == 0 || rest[0].op != "" {
		return phrase{}, fmt.Errorf("which frame?")
	}
	f := phrase{name: rest[0].key, flags: map[string]bool{}}
	k, ok := table[f.name]
	if !ok {
		return phrase{}, fmt.Errorf("%q is no frame", clip(f.name))
	}
	for _, w := range rest[1:] {
		if err := f.take(w, k); err != nil {
			return phrase{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return f, nil
}

// take adds one word.
func (f *phrase) take(w word, k kind) error {
	if w.op == "" {
		name, off := strings.CutPrefix(w.key, "-")
		if w.quoted || !slices.Contains(k.flags, name) {
			return fmt.Errorf("%q is none of its flags (%s)", clip(w.key), strings.Join(k.flags, " "))
		}
		f.flags[name] = !off
		return nil
	}
	v, err := newValue(w.val)
	if err != nil {
		return err
	}
	a := arg{w.key, w.op, v}
	switch {
	case !w.quoted && slices.Contains(k.keys, w.key):
		f.keys = append(f.keys, a)
		return f.check(a)
	case k.sets:
		if _, err := parseSetting(w.key); err != nil {
			return err
		}
		f.fields = append(f.fields, a)
		return f.check(a)
	case k.fields:
		f.fields = append(f.fields, a)
		return nil
	}
	return fmt.Errorf("it has no %q (%s)", clip(w.key), strings.Join(k.keys, " "))
}

// check looks at values that are known without variables, so that a slip shows
// when the script is parsed and not in the middle of its run.
func (f *phrase) check(a arg) (err error) {
	if a.val.parts != nil || strings.HasPrefix(a.val.text, "?") {
		return nil
	}
	switch a.key {
	case "payload", "block":
		_, err = parseHex(a.val.text)
	case "code":
		_, err = parseCode(a.val.text)
	case "debug", "request":
	default:
		_, err = parseNumber(a.val.text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.key, err)
	}
	return nil
}

// key returns the argument of that name.
func (f *phrase) key(name string) (arg, bool) {
	for _, a := range f.keys {
		if a.key == name {
			return a, true
		}
	}
	return arg{}, false
}

// flag reports whether the flag is set, or its default if the script does not
// say.
func (f *phrase) flag(name string, byDefault bool) bool {
	set, ok := f.flags[name]
	if !ok {
		return byDefault
	}
	return set
}

// String returns the phrase much as it was written.
func (f *phrase) String() string {
	var b strings.Builder
	b.WriteString(f.name)
	for _, a := range append(slices.Clone(f.keys), f.fields...) {
		fmt.Fprintf(&b, " %s%s%s", a.key, a.op, clip(a.val.text))
	}
	for _, name := range []string{"END_STREAM", "ACK"} {
		if set, ok := f.flags[name]; ok && set {
			b.WriteString(" " + name)
		} else if ok {
			b.WriteString(" -" + name)
		}
	}
	return b.String()
}

// An evaluation computes arguments and keeps the first error.
type evaluation struct {
	f    *phrase
	vars variables
	err  error
}

// number returns the value of a key, or def if it was not given.
func (e *evaluation) number(key string, def uint64) uint64 {
	a, ok := e.f.key(key)
	if !ok {
		return def
	}
	n, err := e.vars.number(a.val)
	e.note(key, err)
	return n
}

// text returns the value of a key, or "".
func (e *evaluation) text(key string) string {
	a, ok := e.f.key(key)
	if !ok {
		return ""
	}
	s, err := e.vars.text(a.val)
	e.note(key, err)
	return s
}

// bytes returns the value of a key in hexadecimal, or nil.
func (e *evaluation) bytes(key string) []byte {
	if _, ok := e.f.key(key); !ok {
		return nil
	}
	b, err := parseHex(e.text(key))
	e.note(key, err)
	return b
}

// stream is the identifier of a stream.
func (e *evaluation) stream(key string) uint32 { return uint32(e.number(key, 0)) }

func (e *evaluation) note(key string, err error) {
	if e.err == nil && err != nil {
		e.err = fmt.Errorf("%s: %w", key, err)
	}
}
