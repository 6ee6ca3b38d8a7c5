package connectivity

import (
	"fmt"
	"testing"
)

// TestStates are the names of the gRPC connectivity semantics document.
func TestStates(t *testing.T) {
	for _, tc := range []struct {
		state State
		want  string
	}{
		{Idle, "IDLE"},
		{Connecting, "CONNECTING"},
		{Ready, "READY"},
		{TransientFailure, "TRANSIENT_FAILURE"},
		{Shutdown, "SHUTDOWN"},
		{Shutdown + 1, "INVALID_STATE"},
		{255, "INVALID_STATE"},
	} {
		if got := tc.state.String(); got != tc.want {
			t.Errorf("State(%d) is %s, want %s", tc.state, got, tc.want)
		}
	}
	var zero State
	if zero != Idle {
		t.Error("the zero State is not Idle")
	}
}

func ExampleState() {
	fmt.Println(Ready, TransientFailure)
	// Output: READY TRANSIENT_FAILURE
}
