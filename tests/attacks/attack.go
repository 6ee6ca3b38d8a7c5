package main

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

//go:embed scripts/*.txt
var scripts embed.FS

// defaultLasts is how long a script may take that does not say.
const defaultLasts = 20 * time.Second

// An attack is a script with what its notes say.
type attack struct {
	file   string // "a01_rapid_reset"
	id     string // "A1"
	name   string
	script *framescript.Script
	quick  bool // make test plays it
	conns  int  // of a client's script at once; of a client under attack at the most, 0 for any
	frames int
	lasts  time.Duration
	idle   time.Duration // MaxConnectionIdle of the server, 0 for none
	load   load
	bounds bounds
}

// A load is the calls that a client under attack makes.
type load struct {
	Calls, AtOnce int
	Deadline      time.Duration
}

// bounds are what Strata must keep to. Zero is no bound.
type bounds struct {
	reaction []string
	heap     int64
	cpu      time.Duration
	running  int64
	ends     map[string]int // how calls may end, and how many at least
}

// loadAttacks returns the attacks that the flags choose, in the order of their
// files.
func loadAttacks(cfg config) ([]attack, error) {
	files, err := fs.Glob(scripts, "scripts/*.txt")
	if err != nil {
		return nil, err
	}
	var all []attack
	for _, f := range files {
		text, err := fs.ReadFile(scripts, f)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(f, "scripts/"), ".txt")
		a, err := newAttack(name, string(text), cfg.quick)
		if err != nil {
			return nil, err
		}
		if (a.quick || !cfg.quick) && chosen(a, cfg.only) {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no attack is named %q", cfg.only)
	}
	return all, nil
}

func chosen(a attack, only string) bool {
	return slices.ContainsFunc(strings.Split(only, ","), func(prefix string) bool {
		return strings.HasPrefix(a.file, prefix) || strings.EqualFold(a.id, prefix)
	})
}

// newAttack reads the notes of a script.
func newAttack(file, text string, quick bool) (attack, error) {
	script, err := framescript.Parse(file+".txt", text)
	if err != nil {
		return attack{}, err
	}
	a := attack{file: file, script: script, lasts: defaultLasts}
	for _, key := range script.NoteKeys() {
		words, _ := script.Note(key)
		if err := a.note(key, words, quick); err != nil {
			return attack{}, fmt.Errorf("%s.txt: @%s %s: %w", file, key, words, err)
		}
	}
	if !script.IsServer() {
		a.conns = max(a.conns, 1)
	}
	if a.id == "" || len(a.bounds.reaction) == 0 && a.bounds.ends == nil {
		return attack{}, fmt.Errorf("%s.txt: an attack needs @attack, and @reaction or @ends", file)
	}
	if script.IsServer() != (a.load.Calls > 0) {
		return attack{}, fmt.Errorf("%s.txt: a server's script needs @calls, a client's must have none", file)
	}
	return a, nil
}

// note applies one note.
func (a *attack) note(key, text string, quick bool) (err error) {
	words := strings.Fields(text)
	first := ""
	if len(words) > 0 {
		first = words[0]
	}
	switch key {
	case "attack":
		a.id, a.name, _ = strings.Cut(text, " ")
	case "quick":
		a.quick = true
	case "conns":
		a.conns, err = strconv.Atoi(first)
	case "frames":
		if quick && len(words) > 1 {
			first = words[1]
		}
		a.frames, err = strconv.Atoi(first)
	case "lasts":
		a.lasts, err = time.ParseDuration(first)
	case "idle":
		a.idle, err = time.ParseDuration(first)
	case "reaction":
		for r := range strings.SplitSeq(text, "|") {
			a.bounds.reaction = append(a.bounds.reaction, strings.TrimSpace(r))
		}
	case "heap":
		a.bounds.heap, err = parseSize(first)
	case "cpu":
		a.bounds.cpu, err = time.ParseDuration(first)
	case "running":
		a.bounds.running, err = strconv.ParseInt(first, 10, 64)
	case "calls":
		if len(words) != 2 {
			return fmt.Errorf("want two numbers")
		}
		if a.load.Calls, err = strconv.Atoi(first); err == nil {
			a.load.AtOnce, err = strconv.Atoi(words[1])
		}
	case "deadline":
		a.load.Deadline, err = time.ParseDuration(first)
	case "ends":
		return a.noteEnds(words)
	default:
		return fmt.Errorf("no such note")
	}
	return err
}

// noteEnds reads "OK=99 UNAVAILABLE=1".
func (a *attack) noteEnds(words []string) error {
	a.bounds.ends = map[string]int{}
	for _, w := range words {
		code, least, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi("0" + least)
		if err != nil {
			return err
		}
		a.bounds.ends[code] = n
	}
	return nil
}

// parseSize reads "192KiB" and "20MiB".
func parseSize(s string) (int64, error) {
	unit := int64(1)
	if bare, ok := strings.CutSuffix(s, "KiB"); ok {
		s, unit = bare, 1<<10
	} else if bare, ok := strings.CutSuffix(s, "MiB"); ok {
		s, unit = bare, 1<<20
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n * unit, err
}
