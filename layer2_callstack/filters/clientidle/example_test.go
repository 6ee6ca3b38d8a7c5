package clientidle_test

import (
	"fmt"
	"time"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// The filter is left out of a stack that is never to go idle.
func ExampleNew() {
	for _, timeout := range []time.Duration{0, time.Minute, -1} {
		cfg := clientidle.Config{Timeout: timeout}
		b := callstack.NewBuilder("CHANNEL")
		b.Add(clientidle.New(cfg)).Enabled(cfg.Enabled())
		b.Add(connected.New()).Terminal()
		s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s)
		s.Destroy()
	}
	// Output:
	// CHANNEL client_idle connected
	// CHANNEL client_idle connected
	// CHANNEL connected
}
