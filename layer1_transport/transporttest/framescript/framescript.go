package framescript

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultLimit is how long a step waits unless the script says otherwise.
const DefaultLimit = 5 * time.Second

// A Script is a parsed script. It holds no state of a run: any number of
// connections may run it at once.
type Script struct {
	name   string
	server bool
	steps  []step
	notes  []note
}

// A note is a line "@key words", for whoever runs the script.
type note struct{ key, text string }

// ParseFile parses the script in a file. Its errors name the base of path.
func ParseFile(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(path), string(text))
}

// MustParse is Parse for text that is part of a program.
func MustParse(name, text string) *Script {
	s, err := Parse(name, text)
	if err != nil {
		panic(err)
	}
	return s
}

// Name returns what Parse was given.
func (s *Script) Name() string { return s.name }

// IsServer reports whether the script plays the server.
func (s *Script) IsServer() bool { return s.server }

// Note returns the words of the script's first line "@key words".
func (s *Script) Note(key string) (text string, ok bool) {
	for _, n := range s.notes {
		if n.key == key {
			return n.text, true
		}
	}
	return "", false
}

// NoteKeys returns the keys of the script's notes in their order.
func (s *Script) NoteKeys() []string {
	var keys []string
	for _, n := range s.notes {
		keys = append(keys, n.key)
	}
	return keys
}

// Options tune a run. The zero value is ready to use.
type Options struct {
	// Vars are variables of the script, besides those that it sets.
	Vars map[string]string

	// Limit is how long a step waits that names no time of its own. Zero
	// means the script's `limit`, or DefaultLimit.
	Limit time.Duration

	// Log gets a line for each frame that comes in. Nil logs nothing. It is
	// called from the reading goroutine.
	Log func(line string)
}

// Run plays the script over nc, which it closes. The error of a step that went
// wrong names the line, what the script wanted and what came. The record is
// never nil. When ctx ends, so does the run.
func (s *Script) Run(ctx context.Context, nc net.Conn, o Options) (*Record, error) {
	p := newPeer(s, nc, o)
	p.start()
	stop := context.AfterFunc(ctx, p.abort)
	err := p.play(s.steps)
	if err == nil {
		err = p.finish()
	}
	stop()
	record := p.stop()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return record, err
}

// Dial connects to addr and plays the script.
func (s *Script) Dial(ctx context.Context, network, addr string, o Options) (*Record, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return new(Record), fmt.Errorf("%s: %w", s.name, err)
	}
	return s.Run(ctx, nc, o)
}

// An Error says which step of a script went wrong, and how.
type Error struct {
	Script string
	Line   int
	Reason string

	cause error
}

// Error returns "script:line: reason".
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Script, e.Line, e.Reason) }

// Unwrap returns what the connection or the step said, if that is all there is.
func (e *Error) Unwrap() error { return e.cause }

// clip bounds what of a peer's text goes into errors and records.
func clip(text string) string {
	const most = 128
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
