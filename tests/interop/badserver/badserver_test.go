package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/strata-grpc/strata"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

const (
	unaryCall     = "/grpc.testing.TestService/UnaryCall"
	largeRequest  = 271828
	largeResponse = 314159
	patience      = 30 * time.Second
)

// largeUnary makes the call of the official cases. The reply is returned also
// when the call fails, since nothing may have been put into it then.
func largeUnary(cc *strata.ClientConn, opts ...strata.CallOption) (*grpctestingpb.SimpleResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reply := new(grpctestingpb.SimpleResponse)
	err := cc.Invoke(ctx, unaryCall, &grpctestingpb.SimpleRequest{
		ResponseSize: largeResponse,
		Payload:      &grpctestingpb.Payload{Body: make([]byte, largeRequest)},
	}, reply, opts...)
	return reply, err
}

// succeeds checks a call that must, down to the bytes.
func succeeds(cc *strata.ClientConn, opts ...strata.CallOption) error {
	reply, err := largeUnary(cc, opts...)
	if err != nil {
		return err
	}
	want := &grpctestingpb.SimpleResponse{Payload: &grpctestingpb.Payload{Body: make([]byte, largeResponse)}}
	if !proto.Equal(reply, want) {
		return fmt.Errorf("the reply has %d bytes or a field too many, want %d zeros", len(reply.GetPayload().GetBody()), largeResponse)
	}
	return nil
}

// fails checks a call whose stream the server resets with NO_ERROR: that is
// INTERNAL, and no reply is delivered. gRPC-HTTP2 Errors.
func fails(cc *strata.ClientConn) error {
	reply, err := largeUnary(cc)
	if strata.CodeOf(err) != strata.Internal || !strings.Contains(err.Error(), "NO_ERROR") {
		return fmt.Errorf("the call ended with %w, want INTERNAL and the name of the code", err)
	}
	if proto.Size(reply) != 0 {
		return fmt.Errorf("the call failed and delivered %d bytes", proto.Size(reply))
	}
	return nil
}

// cases is what a client does in each case, and on how many connections.
var cases = map[string]struct {
	run   func(cc *strata.ClientConn) error
	conns int
}{
	"goaway":                    {goaway, 2},
	"rst_after_header":          {fails, 1},
	"rst_during_data":           {fails, 1},
	"rst_after_data":            {fails, 1},
	"ping":                      {func(cc *strata.ClientConn) error { return succeeds(cc) }, 1},
	"max_streams":               {maxStreams, 1},
	"data_frame_padding":        {func(cc *strata.ClientConn) error { return succeeds(cc) }, 1},
	"no_df_padding_sanity_test": {func(cc *strata.ClientConn) error { return succeeds(cc) }, 1},
}

// goaway: two calls with a second between them succeed, on two connections.
func goaway(cc *strata.ClientConn) error {
	var first, second strata.Peer
	if err := succeeds(cc, strata.PeerOf(&first)); err != nil {
		return fmt.Errorf("first call: %w", err)
	}
	time.Sleep(time.Second)
	if err := succeeds(cc, strata.PeerOf(&second)); err != nil {
		return fmt.Errorf("second call: %w", err)
	}
	if first.LocalAddr.String() == second.LocalAddr.String() {
		return fmt.Errorf("both calls went over the connection from %v", first.LocalAddr)
	}
	return nil
}

// maxStreams: one call, then fifteen at once.
func maxStreams(cc *strata.ClientConn) error {
	if err := succeeds(cc); err != nil {
		return fmt.Errorf("the first call: %w", err)
	}
	errs := make([]error, 15)
	var calls sync.WaitGroup
	for i := range errs {
		calls.Go(func() { errs[i] = succeeds(cc) })
	}
	calls.Wait()
	return errors.Join(errs...)
}

// TestBadServers runs Strata's client against every server.
func TestBadServers(t *testing.T) {
	if len(names()) != 8 || len(cases) != 8 {
		t.Errorf("%d scripts and %d clients, the documents have 8", len(names()), len(cases))
	}
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := find(name)
			if err != nil {
				t.Fatal(err)
			}
			lis, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := framescript.Serve(lis, script, framescript.Options{})
			cc, err := strata.NewClient(lis.Addr().String(), strata.WithTransportCredentials(strata.InsecureCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			if err := cases[name].run(cc); err != nil {
				t.Error(err)
			}
			cc.Close()
			checkRuns(t, srv, cases[name].conns)
		})
	}
}

// checkRuns waits until the script has come to its end on every connection,
// which it does if the client does what the script wants.
func checkRuns(t *testing.T, srv *framescript.Server, conns int) {
	t.Helper()
	running := func(r framescript.ServerRun) bool { return !r.Done }
	for end := time.Now().Add(patience); slices.ContainsFunc(srv.Runs(), running) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	runs := srv.Runs()
	if len(runs) != conns {
		t.Errorf("the client made %d connections, want %d", len(runs), conns)
	}
	if slices.ContainsFunc(runs, running) {
		t.Error("a script has not come to its end")
	}
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
}

// TestFind: a name that does not exist is answered with those that do.
func TestFind(t *testing.T) {
	if _, err := find("tea"); err == nil || !strings.Contains(err.Error(), "rst_after_data") {
		t.Errorf("find(tea) = %v, want the list of cases", err)
	}
}
