package stubs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// TestHandlerErrors: what a handler returns is what the client gets.
func TestHandlerErrors(t *testing.T) {
	detailed, err := status.New(status.FailedPrecondition, "see details").WithDetails(wrapperspb.String("why"))
	if err != nil {
		t.Fatal(err)
	}
	var result error
	f := newFixture(t, &echo{hook: func(context.Context) error { return result }}, options{})
	ctx := within(t)
	for _, tc := range []struct {
		name    string
		err     error
		code    status.Code
		message string
		details int
	}{
		{"a status travels", status.Error(status.Aborted, "try again"), status.Aborted, "try again", 0},
		{"a wrapped status keeps its code", fmt.Errorf("outer: %w", status.Error(status.NotFound, "x")), status.NotFound, "outer: rpc error: code = NotFound desc = x", 0},
		{"a plain error is UNKNOWN", errors.New("plain"), status.Unknown, "plain", 0},
		{"a cancelled context is CANCELLED", context.Canceled, status.Canceled, "context canceled", 0},
		{"a deadline is DEADLINE_EXCEEDED", context.DeadlineExceeded, status.DeadlineExceeded, "context deadline exceeded", 0},
		{"io.EOF is an error too", io.EOF, status.Unknown, "EOF", 0},
		{"text is any text", status.Error(status.Internal, "é%\n\x7f☃"), status.Internal, "é%\n\x7f☃", 0},
		{"details travel", detailed.Err(), status.FailedPrecondition, "see details", 1},
		{"an unknown code travels", status.Error(99, "odd"), 99, "odd", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			result = tc.err
			_, unary := f.client.Unary(ctx, new(testpb.Request))
			stream, err := f.client.ServerStream(ctx, new(testpb.Request))
			if err == nil {
				_, err = stream.Recv()
			}
			for _, err := range []error{unary, err} {
				st, ok := status.FromError(err)
				if !ok || st.Code() != tc.code || st.Message() != tc.message || len(st.Details()) != tc.details {
					t.Errorf("status = %v with %d details, want %v %q with %d", st, len(st.Details()), tc.code, tc.message, tc.details)
				}
			}
			if tc.details > 0 && !errors.Is(unary, tc.err) {
				t.Errorf("%v does not match what was sent", unary)
			}
		})
	}
}

// TestUnknownMethods: methods that a server does not have are UNIMPLEMENTED,
// with a text that says what is missing.
func TestUnknownMethods(t *testing.T) {
	f := newFixture(t, testpb.UnimplementedTestServer{}, options{})
	ctx := within(t)
	for _, tc := range []struct{ method, message string }{
		{"/strata.test.Test/Nothing", "unknown method Nothing for service strata.test.Test"},
		{"/no.Such/Method", "unknown service no.Such"},
		{"/noslash", `malformed method name: "/noslash"`},
		{"/strata.test.Test/Unary", "method Unary not implemented"},
	} {
		err := f.cc.Invoke(ctx, tc.method, new(testpb.Request), new(testpb.Response))
		if st := status.Convert(err); st.Code() != status.Unimplemented || st.Message() != tc.message {
			t.Errorf("Invoke(%q) = %v, want %q", tc.method, err, tc.message)
		}
	}
	wantCode(t, f.cc.Invoke(ctx, "no slash", new(testpb.Request), new(testpb.Response)), status.Internal)
	stream, err := f.client.Bidi(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantCode(t, err, status.Unimplemented)
}

// TestLimits: a message over a limit is RESOURCE_EXHAUSTED, with a text that
// names side and option where it was this library's own stubs that refused.
func TestLimits(t *testing.T) {
	big := &testpb.Request{Payload: make([]byte, 5000), Responses: 1}
	for _, tc := range []struct {
		name    string
		o       options
		call    []stubs.CallOption
		message string
	}{
		{"client sends", options{}, []stubs.CallOption{stubs.MaxCallSendMsgSize(100)}, "stubs: client: cannot send a message of 500"},
		{"client receives", options{}, []stubs.CallOption{stubs.MaxCallRecvMsgSize(100)}, "client option MaxCallRecvMsgSize"},
		{"client's channel receives", options{dial: []stubs.DialOption{stubs.WithDefaultCallOptions(stubs.MaxCallRecvMsgSize(100))}}, nil, "client option MaxCallRecvMsgSize"},
		{"server sends", options{server: []stubs.ServerOption{stubs.MaxSendMsgSize(100)}}, nil, "server option MaxSendMsgSize"},
		{"server receives", options{server: []stubs.ServerOption{stubs.MaxRecvMsgSize(100)}}, nil, "server option MaxRecvMsgSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, new(echo), tc.o)
			ctx := within(t)
			_, unary := f.client.Unary(ctx, big, tc.call...)
			stream, err := f.client.ServerStream(ctx, big, tc.call...)
			if err == nil {
				_, err = stream.Recv()
			}
			bidi, berr := f.client.Bidi(ctx, tc.call...)
			if berr == nil {
				if berr = bidi.Send(big); berr == nil || berr == io.EOF {
					_, berr = bidi.Recv()
				}
			}
			for kind, err := range map[string]error{"unary": unary, "stream": err, "bidi": berr} {
				wantCode(t, err, status.ResourceExhausted)
				if !strings.Contains(fmt.Sprint(err), tc.message) {
					t.Errorf("%s: error = %v, want it to say %q", kind, err, tc.message)
				}
			}
			if _, err := f.client.Unary(ctx, new(testpb.Request)); err != nil {
				t.Errorf("a small call afterwards: %v", err)
			}
		})
	}
}

// TestRaisedLimit: a channel can accept more than 4 MiB.
func TestRaisedLimit(t *testing.T) {
	f := newFixture(t, new(echo), options{
		server: []stubs.ServerOption{stubs.MaxRecvMsgSize(8 << 20)},
		dial:   []stubs.DialOption{stubs.WithDefaultCallOptions(stubs.MaxCallRecvMsgSize(8 << 20))},
	})
	out, err := f.client.Unary(within(t), &testpb.Request{Payload: make([]byte, 6<<20)})
	if err != nil || len(out.Payload) != 6<<20 {
		t.Errorf("%d bytes, %v", len(out.GetPayload()), err)
	}
}

// TestNotAMessage: what no codec knows is INTERNAL and named.
func TestNotAMessage(t *testing.T) {
	f := newFixture(t, new(echo), options{})
	ctx := within(t)
	const method = testpb.Test_Unary_FullMethodName
	for name, err := range map[string]error{
		"string": f.cc.Invoke(ctx, method, "text", new(testpb.Response)),
		"nil":    f.cc.Invoke(ctx, method, nil, new(testpb.Response)),
		"int":    f.cc.Invoke(ctx, method, new(testpb.Request), 7),
	} {
		wantCode(t, err, status.Internal)
		if s := fmt.Sprint(err); !strings.Contains(s, name) || !strings.Contains(s, "client") {
			t.Errorf("error = %q, want it to name the client and %s", s, name)
		}
	}
}

// TestConnectionErrors: a call that cannot connect says who failed, where, why.
func TestConnectionErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	http1 := scripted(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	for _, tc := range []struct {
		name, addr string
		creds      credentials.TransportCredentials
		want       []string
	}{
		{"nobody listens", closed.Addr().String(), credentials.NewInsecure(), []string{closed.Addr().String(), "connection refused"}},
		{"the server speaks HTTP/1", http1, credentials.NewInsecure(), []string{http1, "HTTP/1"}},
		{"the server speaks TLS", scripted(t, "\x15\x03\x01\x00\x02\x02\x46"), credentials.NewInsecure(), []string{"TLS"}},
		{"the server does not speak TLS", http1, credentials.NewTLS(nil), []string{http1, "does not speak TLS"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cc := dial(t, tc.addr, stubs.WithTransportCredentials(tc.creds))
			err := cc.Invoke(within(t), testpb.Test_Unary_FullMethodName, new(testpb.Request), new(testpb.Response))
			wantCode(t, err, status.Unavailable)
			for _, want := range tc.want {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("error = %v, want it to say %q", err, want)
				}
			}
		})
	}
}

// scripted listens and answers the first bytes of every connection with text.
func scripted(t testing.TB, text string) (addr string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	go func() {
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				_, _ = nc.Read(make([]byte, 1))
				_, _ = io.WriteString(nc, text)
				_, _ = io.Copy(io.Discard, nc)
			}()
		}
	}()
	return lis.Addr().String()
}
