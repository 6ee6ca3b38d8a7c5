//go:build !race

package warnlimit_test

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
)

// TestAllocsStack: a warning that is not written takes no stack.
func TestAllocsStack(t *testing.T) {
	log := slog.New(warnlimit.New(warnlimit.WithStack(slog.NewTextHandler(io.Discard, nil)), time.Hour))
	log.Warn("broke")
	if n := testing.AllocsPerRun(100, func() { log.Warn("broke") }); n != 0 {
		t.Errorf("a warning that is not written takes %v allocations, want none", n)
	}
}
