package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

// met reports whether a peer's reaction is the one that a note wants.
func met(rec *framescript.Record, want string) bool {
	switch {
	case want == "none":
		return rec.Closed == "" && len(rec.GoAways) == 0 && rec.Received["RST_STREAM"] == 0
	case want == "close":
		return rec.Closed != ""
	case rec.Received[want] > 0:
		return true
	}
	return slices.ContainsFunc(rec.GoAways, func(g framescript.GoAway) bool {
		return want == "GOAWAY "+g.Code.String()+" "+g.Debug
	})
}

// judge compares a row with the bounds of its attack.
func (r *row) judge(a attack, records []*framescript.Record, after usage) {
	broken := func(format string, args ...any) { r.Broken = append(r.Broken, fmt.Sprintf(format, args...)) }
	b := a.bounds
	if r.Script != "" {
		broken("script: %s", r.Script)
	}
	for _, rec := range records {
		reacted := slices.ContainsFunc(b.reaction, func(want string) bool { return met(rec, want) })
		if len(b.reaction) > 0 && !reacted {
			broken("reaction: want %s", strings.Join(b.reaction, " or "))
			break
		}
	}
	if b.heap > 0 && r.HeapGrowth > b.heap+noise {
		broken("heap: at most %d KiB", b.heap>>10)
	}
	if b.cpu > 0 && r.CPU > b.cpu*cpuAllowance {
		broken("cpu: at most %v", b.cpu)
	}
	if b.running > 0 && r.Handlers > b.running+1 { // one is the other client's
		broken("%d handlers at once, at most %d", r.Handlers, b.running)
	}
	if after.Strangers > 0 {
		broken("%d handlers ran under another name", after.Strangers)
	}
	if len(r.Loaded.Failed) > 0 {
		broken("%d of %d calls of another client failed (%s)", len(r.Loaded.Failed), r.Loaded.Calls, r.Loaded.Failed[0])
	}
	if r.LeftGoroutines > slack {
		broken("%d goroutines left", r.LeftGoroutines)
	}
	if a.script.IsServer() && a.conns > 0 && r.Conns > a.conns {
		broken("%d connections, at most %d", r.Conns, a.conns)
	}
	r.judgeEnds(b.ends)
}

// judgeEnds compares how the calls of a client ended.
func (r *row) judgeEnds(want map[string]int) {
	if want == nil {
		return
	}
	for code, n := range r.Ends {
		if _, ok := want[code]; !ok {
			r.Broken = append(r.Broken, fmt.Sprintf("%d calls ended with %s, want %s", n, code, countsText(want)))
		}
	}
	for code, least := range want {
		if n := r.Ends[code]; n < least {
			r.Broken = append(r.Broken, fmt.Sprintf("%d calls ended with %s, want %d or more", n, code, least))
		}
	}
}

// reactionOf sums up what came back: GOAWAY with its text, resets and statuses
// with their number, and the end of the connection.
func reactionOf(records []*framescript.Record) string {
	sums := map[string]int{}
	for _, rec := range records {
		for _, g := range rec.GoAways {
			name := "GOAWAY " + g.Code.String()
			if len(g.Debug) > 0 && len(g.Debug) <= 20 {
				name += fmt.Sprintf(" %q", g.Debug)
			}
			sums[name]++
		}
		for name, n := range rec.Received {
			if strings.HasPrefix(name, "RST_STREAM ") || strings.HasPrefix(name, "grpc-status=") {
				sums[name] += n
			}
		}
		if rec.Closed != "" {
			sums["close"]++
		}
	}
	if len(sums) == 0 {
		return "none"
	}
	return countsText(sums)
}

// countsText lists names with their numbers, the most frequent first.
func countsText(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		if n := counts[name]; n > 1 {
			name = fmt.Sprintf("%s x%d", name, n)
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
