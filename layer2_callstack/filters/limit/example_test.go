package limit_test

import (
	"fmt"

	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
)

// A server has 100 calls at once and 1000 a second, or 200 at once after a pause;
// and of those that are a lot of work, four. A server is given it with
// surface.WithLimit or stubs.CallLimit.
func ExampleNew() {
	cfg := limit.Config{
		MaxConcurrent: 100,
		Rate:          1000, Burst: 200,
		Methods: map[string]limit.Config{"/shop.Shop/Report": {MaxConcurrent: 4}},
	}
	fmt.Println(limit.New(cfg).Name(), cfg.Validate())

	cfg.Rate = -1
	fmt.Println(cfg.Validate())
	// Output:
	// limit <nil>
	// option Rate is -1, want 0 for no limit, or calls per second
}
