//go:build !race

package stubs_test

import (
	"context"
	"testing"

	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A constant serves Test with messages that are there already, so that what is
// counted is the library's.
type constant struct {
	testpb.UnimplementedTestServer
	response *testpb.Response
}

func (c *constant) Unary(context.Context, *testpb.Request) (*testpb.Response, error) {
	return c.response, nil
}

func (c *constant) Bidi(stream stubs.BidiStreamingServer[testpb.Request, testpb.Response]) error {
	in := new(testpb.Request)
	for {
		if err := stream.RecvMsg(in); err != nil {
			return nil
		}
		if err := stream.Send(c.response); err != nil {
			return err
		}
	}
}

// TestAllocsInvoke pins what a unary call allocates without options and
// deadline: nothing on the client; on the server the context and the request.
func TestAllocsInvoke(t *testing.T) { testAllocsInvoke(t, options{}) }

// TestAllocsGate: what decides about calls adds nothing to that, unless the hook
// asks for a goroutine.
func TestAllocsGate(t *testing.T) {
	hook := func(_ context.Context, r *stubs.AuthRequest) error {
		r.Principal = r.Peer
		return nil
	}
	testAllocsInvoke(t, options{server: []stubs.ServerOption{
		stubs.ServerAuth(stubs.ServerAuthConfig{Process: hook, Inline: true}),
		stubs.CallLimit(stubs.CallLimitConfig{MaxConcurrent: 10, Rate: 1e9}),
	}})
}

func testAllocsInvoke(t *testing.T, o options) {
	t.Helper()
	f := newFixture(t, &constant{response: new(testpb.Response)}, o)
	ctx, in, out := context.Background(), new(testpb.Request), new(testpb.Response)
	call := func() {
		if err := f.cc.Invoke(ctx, testpb.Test_Unary_FullMethodName, in, out); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		call()
	}
	if got := testing.AllocsPerRun(2000, call); got > 2 {
		t.Errorf("a unary call allocates %v times on both sides, want at most 2", got)
	}
}

// TestAllocsStream pins what a message there and one back allocate: nothing.
func TestAllocsStream(t *testing.T) {
	f := newFixture(t, &constant{response: new(testpb.Response)}, options{})
	stream, err := f.client.Bidi(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	in, out := new(testpb.Request), new(testpb.Response)
	ping := func() {
		if err := stream.Send(in); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(out); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		ping()
	}
	if got := testing.AllocsPerRun(2000, ping); got > 0 {
		t.Errorf("a message each way allocates %v times, want 0", got)
	}
}
