package tour

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// Print writes what was recorded, in the order of time, a line an event. Each
// line says when, at which end, in which goroutine and in which layer; the
// further down the layer, the further to the right what happened.
func Print(w io.Writer, records []trace.Record, colour bool) {
	p := &printer{w: w, colour: colour}
	for _, r := range records {
		p.record(r)
	}
}

// Colour reports whether f is a terminal that wants colours.
func Colour(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

type printer struct {
	w      io.Writer
	colour bool
	zero   time.Duration // when the scene began
	begun  bool
}

// Escape sequences by layer, for terminals.
var colours = [...]string{"\x1b[90m", "\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[1m", "\x1b[0m"}

func (p *printer) record(r trace.Record) {
	switch {
	case r.Op == opScene:
		p.zero, p.begun = r.Elapsed, true
		fmt.Fprintf(p.w, "\n%s\n%s\n", r.Text, strings.Repeat("─", len([]rune(r.Text))))
		fmt.Fprintf(p.w, "%9s  %4s  %-6s %-26s %-11s %s\n", "time", "#", "end", "goroutine", "layer", "what, and the # that caused it")
		return
	case r.Op == trace.OpRole || !p.begun:
		return
	}
	start, end := "", ""
	if p.colour {
		start, end = colours[min(int(r.Layer), len(colours)-1)], "\x1b[0m"
	}
	fmt.Fprintf(p.w, "%7.1fµs  %4d  %-6s %-26s %s%-11s %s%s%s\n",
		float64(r.Elapsed-p.zero)/float64(time.Microsecond), r.ID, r.Endpoint, r.Lane,
		start, layerName(r.Layer), indent(r.Layer), sentence(r), end)
	for _, f := range r.Fields {
		fmt.Fprintf(p.w, "%64s%s  %s%s: %s%s\n", "", indent(r.Layer), start, f.Name, f.Value, end)
	}
}

// indent is wider for the lower layers.
func indent(layer uint8) string {
	return strings.Repeat("  ", max(0, 5-int(layer)))
}

var arrows = map[trace.Dir]string{trace.DirDown: "↓ ", trace.DirUp: "↑ ", trace.DirSend: "→ ", trace.DirRecv: "← "}

// sentence says what happened in one line.
func sentence(r trace.Record) string {
	var b strings.Builder
	b.WriteString(arrows[r.Dir])
	b.WriteString(strings.TrimPrefix(r.Component, "filter:"))
	if r.Op != trace.OpFrame && !strings.HasPrefix(r.Op, "op.") {
		b.WriteString(" " + r.Op)
	}
	if r.Text != "" {
		b.WriteString("  " + r.Text)
	}
	if r.Op == trace.OpFrame {
		fmt.Fprintf(&b, "  (stream %d, %d bytes after the 9 of the header)", r.Stream, r.Size)
	} else if r.Size > 0 {
		fmt.Fprintf(&b, "  %d bytes", r.Size)
	}
	if r.Tag != "" {
		b.WriteString("  tag " + r.Tag)
	}
	if r.Err != nil {
		fmt.Fprintf(&b, "  error: %v", r.Err)
	}
	if r.Cause != 0 {
		fmt.Fprintf(&b, "  ⟵ #%d", r.Cause)
	}
	return b.String()
}

// Summary counts what went over the wire after the first scene with that
// title: frames and bytes, by end.
func Summary(w io.Writer, records []trace.Record, scene string) {
	type count struct{ frames, bytes int }
	sent := map[string]count{}
	in := false
	for _, r := range records {
		if r.Op == opScene {
			in = r.Text == scene
		}
		if in && r.Op == trace.OpFrame && r.Dir == trace.DirSend {
			c := sent[r.Endpoint]
			sent[r.Endpoint] = count{c.frames + 1, c.bytes + r.Size + 9}
		}
	}
	for _, end := range []string{Client, Server} {
		fmt.Fprintf(w, "%s: the %s sent %d frames, %d bytes.\n", scene, end, sent[end].frames, sent[end].bytes)
	}
}
