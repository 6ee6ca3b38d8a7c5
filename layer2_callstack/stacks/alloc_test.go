//go:build !race

package stacks_test

import (
	"testing"
	"time"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// TestAllocsUnary pins that a call through a warm block allocates nothing,
// also with a deadline that the stack watches.
func TestAllocsUnary(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    *callstack.Builder
		side callstacktest.Side
	}{
		{"client subchannel", stacks.ClientSubchannel(stacks.Options{}), callstacktest.Client},
		{"client direct", stacks.ClientDirect(stacks.Options{}, true), callstacktest.Client},
		{"server", stacks.Server(top, stacks.Options{}), callstacktest.Server},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, _ := unary(t, tc.b, tc.side)
			if tc.side == callstacktest.Client {
				u.Args.Deadline = time.Now().Add(time.Hour)
			}
			got := testing.AllocsPerRun(200, func() {
				if err := u.Run(); err != nil {
					t.Fatal(err)
				}
			})
			if got != 0 {
				t.Errorf("a unary call made %v allocations, want 0", got)
			}
		})
	}
}
