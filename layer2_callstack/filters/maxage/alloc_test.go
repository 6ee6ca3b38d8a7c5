//go:build !race

package maxage

import (
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
)

// TestAllocsCall pins that counting calls allocates nothing.
func TestAllocsCall(t *testing.T) {
	tr := &callstacktest.Transport{}
	stack := callstacktest.Build(t, tr, New(Config{MaxConnectionAge: time.Hour, MaxConnectionAgeGrace: time.Hour, MaxConnectionIdle: time.Hour}))
	defer stack.Destroy()
	u := callstacktest.NewUnary(tr, stack, callstacktest.Server)
	if got := testing.AllocsPerRun(200, func() {
		if err := u.Run(); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("a unary call made %v allocations, want 0", got)
	}
}
