package stubs_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestCallLimit: a call counts until its handler has returned, also where its
// client has gone and the handler has not noticed; one too many is refused before
// any handler, whatever kind of call it is.
func TestCallLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, finish := make(chan bool), make(chan bool)
		f := newMemFixture(t, &echo{hook: func(context.Context) error {
			begun <- true
			<-finish // whatever becomes of the context
			return nil
		}}, options{server: []stubs.ServerOption{stubs.CallLimit(stubs.CallLimitConfig{MaxConcurrent: 1})}})
		for name, call := range calls(f.client) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- call(ctx) }()
			<-begun
			cancel()
			wantCode(t, <-ended, status.Canceled)
			synctest.Wait()
			for other, call := range calls(f.client) {
				err := call(within(t))
				wantCode(t, err, status.ResourceExhausted)
				if err == nil || !strings.Contains(err.Error(), "as it may have: 1 (option MaxConcurrent)") {
					t.Errorf("%s while the handler of %s runs: %v", other, name, err)
				}
			}
			finish <- true
			synctest.Wait()
			go func() { <-begun; finish <- true }()
			if err := call(within(t)); err != nil && err != io.EOF {
				t.Errorf("%s after the handler has returned: %v", name, err)
			}
			synctest.Wait()
		}
	})
}

// TestCallLimitOfMethod: the other methods do not feel it.
func TestCallLimitOfMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.CallLimit(stubs.CallLimitConfig{
			Methods: map[string]stubs.CallLimitConfig{testpb.Test_Unary_FullMethodName: {Rate: 0.001}},
		})}})
		for i, want := range []status.Code{status.OK, status.ResourceExhausted, status.ResourceExhausted} {
			_, err := f.client.Unary(within(t), new(testpb.Request))
			wantCode(t, err, want)
			if err := calls(f.client)["ClientStream"](within(t)); err != nil {
				t.Errorf("call %d of another method: %v", i, err)
			}
		}
	})
}

// TestBadCallLimit: NewServer says what is wrong.
func TestBadCallLimit(t *testing.T) {
	defer func() {
		if got, _ := recover().(string); !strings.Contains(got, "option Burst is 5 and Rate is 0, want a Rate above 0 with it") {
			t.Errorf("NewServer panicked with %q", got)
		}
	}()
	stubs.NewServer(stubs.CallLimit(stubs.CallLimitConfig{Burst: 5}))
}

// TestLimitOfNoMethod: a limit that no call meets bounds nothing, so its owner is
// told when the server begins, once and of that one.
func TestLimitOfNoMethod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slip = "/strata.test.Test/Unray"
		f := newMemFixture(t, new(echo), options{server: []stubs.ServerOption{stubs.CallLimit(stubs.CallLimitConfig{
			Methods: map[string]stubs.CallLimitConfig{slip: {MaxConcurrent: 1}, testpb.Test_Unary_FullMethodName: {MaxConcurrent: 1}, testpb.Test_Bidi_FullMethodName: {MaxConcurrent: 1}},
		})}})
		if _, err := f.client.Unary(within(t), new(testpb.Request)); err != nil {
			t.Error(err)
		}
		f.server.Shutdown(t.Context())
		if got := f.logs.String(); strings.Count(got, "no service has") != 1 || !strings.Contains(got, slip) {
			t.Errorf("logged %s, want one line about %s", got, slip)
		}
	})
}
