//go:build !race

package template_test

import (
	"testing"

	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/template"
)

// TestAllocsUnary pins that a unary call allocates nothing in the filter.
func TestAllocsUnary(t *testing.T) {
	tr := &callstacktest.Transport{}
	u := callstacktest.NewUnary(tr, callstacktest.Build(t, tr, template.New(good)), callstacktest.Client)
	got := testing.AllocsPerRun(100, func() {
		if err := u.Run(); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("a unary call made %v allocations, want 0", got)
	}
}
