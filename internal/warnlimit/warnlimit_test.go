package warnlimit_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
)

// TestWithStack: what is written has the stack of who logs, also through handlers
// with attributes and groups.
func TestWithStack(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(warnlimit.New(warnlimit.WithStack(slog.NewTextHandler(&b, nil)), time.Hour))
	log.With("a", 1).WithGroup("g").Warn("broke")
	if got := b.String(); strings.Count(got, "warnlimit_test.TestWithStack(") != 1 || !strings.Contains(got, "a=1 g.others=0 g.stack=") {
		t.Errorf("logged %q, want the stack of this test", got)
	}
}

// TestHandler: one warning in an interval, with the number of those before it.
func TestHandler(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			log := slog.New(warnlimit.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level}), 10*time.Second))
			shared := log.With("a", 1).WithGroup("g")
			for i := range 25 {
				l := log
				if i%2 == 1 {
					l = shared
				}
				l.Warn("refused")
				l.Info("kept")
				time.Sleep(time.Second)
			}
			log.Error("kept, too")
			var warned []string
			for line := range strings.Lines(b.String()) {
				if _, after, ok := strings.Cut(line, "level=WARN"); ok {
					_, others, _ := strings.Cut(after, "others=")
					warned = append(warned, strings.TrimSpace(others))
				}
			}
			if got := strings.Join(warned, " "); got != "0 9 9" {
				t.Errorf("the warnings count %q others, want 0 9 9", got)
			}
			want := map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 22}[level]
			if n := strings.Count(b.String(), "level=DEBUG msg=refused"); n != want {
				t.Errorf("%d records for debugging at level %v, want %d", n, level, want)
			}
			if n := strings.Count(b.String(), "kept"); n != 26 {
				t.Errorf("%d other records, want 26", n)
			}
		})
	}
}
