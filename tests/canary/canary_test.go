package canary

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

const (
	// secret is in all that may be one.
	secret = "CANARY-7f3a"
	// message is in the messages of statuses.
	message = "MESSENGER-51c2"
	// patience is what a test waits for something that must come.
	patience = 20 * time.Second
)

// forms returns the forms in which word could be found: as it is, in base64 at
// each of three places in a longer text, and in hexadecimal digits.
func forms(word string) []string {
	all := []string{word, strings.ToLower(word), hex.EncodeToString([]byte(word)), fmt.Sprint([]byte(word))}
	for shift := range 3 {
		code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + word))
		// The letters at the ends depend on what stands beside the word.
		from := (shift*8 + 5) / 6
		all = append(all, code[from:(shift+len(word))*8/6])
	}
	return all
}

// A finding is a place at which a word was found.
type finding struct{ where, text string }

// A watch collects all that somebody could see.
type watch struct {
	t        *testing.T
	logs     lockedBuffer
	recorder *trace.Recorder

	mu sync.Mutex
	// Guarded by mu.
	printed []finding // texts of errors and values
	more    []string  // other words that may be nowhere
}

// lookFor has another word looked for everywhere.
func (w *watch) lookFor(word string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.more = append(w.more, word)
}

// lockedBuffer is a log that many goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	// Guarded by mu.
	b bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newWatch begins to watch. Logs that nobody has directed are watched too.
func newWatch(t *testing.T) *watch {
	w := &watch{t: t, recorder: trace.NewRecorder(trace.LevelEvents)}
	before, writer, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(w.logger())
	t.Cleanup(func() { slog.SetDefault(before); log.SetOutput(writer); log.SetFlags(flags) })
	return w
}

func (w *watch) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
}

// verbs are the ways to print a value.
var verbs = []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%d"}

// see prints a value in every way, as it is and as part of others.
func (w *watch) see(where string, values ...any) {
	for i, v := range values {
		for _, verb := range verbs {
			w.note(fmt.Sprintf("%s, value %d (%T) by %s", where, i, v, verb),
				fmt.Sprintf(verb, v), fmt.Sprintf(verb, []any{v}), fmt.Sprintf(verb, struct{ V any }{v}), fmt.Sprintf(verb, map[string]any{"v": v}))
		}
		var line bytes.Buffer
		slog.New(slog.NewJSONHandler(&line, nil)).Info("", "value", v)
		slog.New(slog.NewTextHandler(&line, nil)).Info("", "value", v)
		w.note(where+" by slog", line.String())
		if err, ok := v.(error); ok {
			for e := err; e != nil; e = errors.Unwrap(e) {
				w.note(where, e.Error())
			}
		}
	}
}

func (w *watch) note(where string, texts ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range texts {
		w.printed = append(w.printed, finding{where, text})
	}
}

// panics runs f and looks at what it panics with.
func (w *watch) panics(where string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			w.see(where, p)
		}
	}()
	f()
}

// check reports every place at which a word is.
func (w *watch) check() {
	w.t.Helper()
	var traces bytes.Buffer
	records := w.recorder.Events()
	if err := trace.WriteJSON(&traces, trace.Header{}, records); err != nil {
		w.t.Fatal(err)
	}
	logs := w.logs.String()
	w.mu.Lock()
	printed, more := slices.Clone(w.printed), slices.Clone(w.more) // handlers may still be printing
	w.mu.Unlock()
	if len(records) == 0 || len(printed) == 0 {
		w.t.Fatalf("%d events, %d bytes of log and %d texts: nothing was watched", len(records), len(logs), len(printed))
	}
	found := 0
	report := func(where, text, word string) {
		if i := strings.Index(text, word); i >= 0 && found < 20 {
			found++
			w.t.Errorf("%q is in %s: …%s…", word, where, text[max(0, i-200):min(len(text), i+100)])
		}
	}
	for _, word := range append(append(forms(secret), forms(message)...), more...) {
		for line := range strings.Lines(logs) {
			report("the log", line, word)
		}
		for line := range strings.Lines(traces.String()) {
			report("the trace", line, word)
		}
	}
	for _, word := range append(forms(secret), more...) {
		for _, f := range printed {
			report(f.where, f.text, word)
		}
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestForms: a word is found in what surrounds it, whatever that is.
func TestForms(t *testing.T) {
	for _, around := range []string{"", "x", "xy", "xyz"} {
		text := around + secret + around
		for name, encoded := range map[string]string{"base64": base64.StdEncoding.EncodeToString([]byte(text)), "hex": hex.EncodeToString([]byte(text)), "text": text} {
			hit := false
			for _, form := range forms(secret) {
				hit = hit || strings.Contains(encoded, form)
			}
			if !hit {
				t.Errorf("the word is not found in %s of %q: %s", name, text, encoded)
			}
		}
	}
}
