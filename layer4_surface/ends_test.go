package surface

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// newScriptedChannel returns a channel whose every connection is answered by
// script, which begins after the SETTINGS of both sides.
func newScriptedChannel(t *testing.T, script string, opts ...ChannelOption) *Channel {
	t.Helper()
	lis := memconn.Listen()
	srv := framescript.Serve(lis, framescript.MustParse(t.Name(), "server\nsend SETTINGS\nanswer SETTINGS PING\n"+script), framescript.Options{})
	ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, opts...)
	t.Cleanup(func() {
		ch.Close()
		if err := srv.Close(); err != nil {
			t.Errorf("the server's script: %v", err)
		}
	})
	return ch
}

const (
	aRequest    = "await HEADERS stream=1\nawait DATA stream=1 END_STREAM\n"
	grpcHeaders = "send HEADERS stream=1 :status=200 content-type=application/grpc\n"
	untilClosed = "linger 1h\n" // whatever the client does
)

// An endRow is one cause and what the application hears of it.
type endRow struct {
	name string
	play func(t *testing.T) CallStatus

	code    status.Code
	message string // what the message begins with, ^ standing for all of it
	http2   string // the code of RST_STREAM or GOAWAY, empty for none
	context error  // which error of package context it matches
}

// check compares st with the row.
func (r *endRow) check(t *testing.T, st CallStatus) {
	t.Helper()
	whole, exact := strings.CutPrefix(r.message, "^")
	if st.Code != r.code || !strings.HasPrefix(st.Message, whole) || exact && st.Message != whole {
		t.Errorf("status = %v %q, want %v %q", st.Code, st.Message, r.code, r.message)
	}
	o := transport.OutcomeOf(st.Err, time.Time{})
	got := ""
	if o.HasHTTP2 {
		got = o.HTTP2.String()
	}
	if got != r.http2 {
		t.Errorf("HTTP/2 code = %q, want %q", got, r.http2)
	}
	for _, c := range []error{context.Canceled, context.DeadlineExceeded} {
		err := st.AsError(nil)
		if got, want := errors.Is(err, c), c == r.context; got != want {
			t.Errorf("errors.Is(%v, %v) = %t, want %t", err, c, got, want)
		}
		if again := status.Convert(err); again.Code() != st.Code || again.Message() != st.Message {
			t.Errorf("the error has %v %q", again.Code(), again.Message())
		}
	}
}

// answered is the end of a call that script answers.
func answered(script string, p CallParams) func(t *testing.T) CallStatus {
	return func(t *testing.T) CallStatus {
		if !p.Deadline.IsZero() {
			p.Deadline = time.Now().Add(time.Second)
		}
		st, _ := echo(t, newScriptedChannel(t, aRequest+script+untilClosed), p, "x")
		return st
	}
}

// dialing is the end of a call for which dial makes the connections.
func dialing(dial func(ctx context.Context, network, address string) (net.Conn, error), opts ...ChannelOption) func(t *testing.T) CallStatus {
	return func(t *testing.T) CallStatus {
		ch, err := NewChannel("passthrough:///echo.example:443", append([]ChannelOption{
			WithCredentials(credentials.NewInsecure()), WithDialer(dial), WithLogger(quietLogger())}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		st, _ := echo(t, ch, CallParams{}, "x")
		return st
	}
}

// inprocess is the end of a call to a server that does not answer, with a
// filter at the client. end is called while it is under way.
func inprocess(filter callstack.Filter, p CallParams, end func(c Call, f *fixture)) func(t *testing.T) CallStatus {
	return func(t *testing.T) CallStatus {
		s, q := newFixtureServer(t)
		var opts []ChannelOption
		if filter != nil {
			opts = append(opts, WithFilter(stacks.Extra{Filter: filter, Before: []string{"deadline"}}))
		}
		f := connectFixture(t, s, q, opts...)
		if !p.Deadline.IsZero() {
			p.Deadline = time.Now().Add(time.Second)
		}
		c := f.call(p)
		defer c.Release()
		var st clientState
		f.start(c, "all", opSendHeaders(), st.opStatus())
		if end != nil {
			end(c, f)
		}
		synctest.Wait()
		f.expect(f.cq, "all", true)
		return st.status
	}
}

// faultyFilter fails calls, at their beginning or at their end.
type faultyFilter struct{ atInit, atEnd error }

func (faultyFilter) Name() string { return "faulty" }
func (r faultyFilter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &faultyChannel{callstack.ChannelBase{Next: next}, r}, nil
}

type faultyChannel struct {
	callstack.ChannelBase
	errs faultyFilter
}

func (r *faultyChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &faultyCall{CallBase: callstack.CallBase{Next: next}, errs: r.errs}
}

type faultyCall struct {
	callstack.CallBase
	errs faultyFilter
	done transport.Done
}

func (r *faultyCall) Init(*callstack.CallArgs) error { return r.errs.atInit }
func (r *faultyCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpRecvTrailingMetadata) && r.errs.atEnd != nil {
		r.done, b.RecvTrailingMetadata.Ready = b.RecvTrailingMetadata.Ready, r
	}
	r.Next.StartBatch(b)
}

// Run ends the call with the filter's error, whatever its trailers say.
func (r *faultyCall) Run(error) { r.done.Run(r.errs.atEnd) }

// serverAnswers lets the server end the call with OK.
func serverAnswers(_ Call, f *fixture) {
	req := f.request("req")
	f.expect(f.scq, "req", true)
	f.start(req.Call, "answer", opStatus(status.OK, ""))
	f.expect(f.scq, "answer", true)
	req.Call.Release()
}

func TestEveryEnd(t *testing.T) {
	soon := CallParams{Deadline: time.Unix(1, 0)} // stands for a second from the beginning
	denied := errors.New("access denied")
	rows := []endRow{
		{"trailers", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM grpc-status=5 grpc-message=no%20gopher\n", CallParams{}),
			status.NotFound, "^no gopher", "", nil},
		{"Trailers-Only", answered("send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=9 grpc-message=x\n", CallParams{}),
			status.FailedPrecondition, "^x", "", nil},
		{"the peer's CANCELLED", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM grpc-status=1\n", CallParams{}), status.Canceled, "^", "", nil},
		{"the peer's DEADLINE_EXCEEDED", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM grpc-status=4\n", CallParams{}), status.DeadlineExceeded, "^", "", nil},
		{"a code that nobody knows", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM grpc-status=77\n", CallParams{}), status.Code(77), "^", "", nil},
		{"no grpc-status", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM x=y\n", CallParams{}),
			status.Unknown, "http2: the peer ended the stream without a grpc-status (peer", "", nil},
		{"a grpc-status that is no number", answered(grpcHeaders+"send HEADERS stream=1 END_STREAM grpc-status=fine\n", CallParams{}),
			status.Unknown, "^malformed grpc-status", "", nil},
		{"GOAWAY that names no stream", answered("send GOAWAY last=0 code=ENHANCE_YOUR_CALM debug=too_many_pings\n", CallParams{}),
			status.Unavailable, `http2: connection ended by the peer with GOAWAY ENHANCE_YOUR_CALM "too_many_pings" (peer`, "ENHANCE_YOUR_CALM", nil},
		{"GOAWAY, and then the connection is lost", answered("send GOAWAY last=1 code=NO_ERROR debug=bye\nclose\n", CallParams{}),
			status.Unavailable, "http2: connection closed (peer", "NO_ERROR", nil},
		{"the connection is lost", answered("close\n", CallParams{}), status.Unavailable, "http2: connection closed (peer", "", nil},
		{"a rule is broken", answered("send FRAME type=6 length=3 payload=010203\n", CallParams{}), status.Unavailable, "http2: connection closed (peer", "FRAME_SIZE_ERROR", nil},
		{"a message over the limit", answered(grpcHeaders+"send DATA stream=1 prefix=0xffffffff\n", CallParams{}),
			status.ResourceExhausted, "http2: a message of 4294967295 bytes passes the receive limit of", "", nil},
		{"the deadline of this side", answered("", soon), status.DeadlineExceeded, "client_channel: the deadline passed", "", context.DeadlineExceeded},
		{"refused connections", dialing(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }),
			status.Unavailable, "client_channel: no connection to passthrough:///echo.example:443", "", nil},
		{"a dialer that runs out of time", dialing(func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded }),
			status.Unavailable, "client_channel: no connection to passthrough:///echo.example:443", "", nil},
		{"a failed TLS handshake", dialing(func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, s := memconn.Pipe()
			s.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
			s.Close()
			return c, nil
		}, WithCredentials(credentials.NewTLS(&tls.Config{ServerName: "echo.example"}))), status.Unavailable, "client_channel: no connection to passthrough:///echo.example:443", "", nil},

		{"Cancel", inprocess(nil, CallParams{}, func(c Call, _ *fixture) { c.Cancel() }), status.Canceled, "^the call was cancelled by the application", "", context.Canceled},
		{"CancelWithStatus", inprocess(nil, CallParams{}, func(c Call, _ *fixture) { c.CancelWithStatus(status.Unimplemented, "xyz") }), status.Unimplemented, "^xyz", "", nil},
		{"the deadline", inprocess(nil, soon, nil), status.DeadlineExceeded, "deadline", "", context.DeadlineExceeded},
		{"a filter that refuses to begin", inprocess(faultyFilter{atInit: status.New(status.PermissionDenied, "access denied").WithCause(denied)}, CallParams{}, nil),
			status.PermissionDenied, "^access denied", "", nil},
		{"a filter that finds fault with the end", inprocess(faultyFilter{atEnd: status.Error(status.PermissionDenied, "Failure that's not preventable.")}, CallParams{}, serverAnswers),
			status.PermissionDenied, "^Failure that's not preventable.", "", nil},
		{"a filter with an error of its own", inprocess(faultyFilter{atEnd: denied}, CallParams{}, serverAnswers), status.Unknown, "^access denied", "", nil},
		{"the channel is closed", inprocess(nil, CallParams{}, func(_ Call, f *fixture) { f.channel.Close() }), status.Canceled, "^the channel is closed", "", context.Canceled},
		{"the server cuts its calls off", inprocess(nil, CallParams{}, func(_ Call, f *fixture) { f.server.Close() }),
			status.Unavailable, "", "", nil},
		{"a lame channel", lame, status.DataLoss, "^gone", "", nil},
		{"a server that is draining", draining, status.Unavailable, `inproc: connection is closing (GOAWAY NO_ERROR "the server is shutting down") (peer inproc)`, "", nil},
	}
	for c := status.HTTP2NoError; c <= status.HTTP2HTTP11Required+1; c++ {
		name, code := c.String(), c
		early := endRow{"RST_STREAM " + name, answered(fmt.Sprintf("send RST_STREAM stream=1 code=%d\n", code), CallParams{}),
			status.FromHTTP2(code), "http2: stream reset by the peer with " + name + " (peer", name, nil}
		late := early
		// The application watches the deadline and has not looked yet.
		late.name, late.play = early.name+" after the deadline", answered(fmt.Sprintf("wait 2s\nsend RST_STREAM stream=1 code=%d\n", code),
			CallParams{Deadline: soon.Deadline, DeadlineWatched: true})
		if code == status.HTTP2Cancel {
			late.code, late.context = status.DeadlineExceeded, context.DeadlineExceeded
		}
		rows = append(rows, early, late)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { row.check(t, row.play(t)) })
		})
	}
}

// lame is the end of a call on a lame channel.
func lame(t *testing.T) CallStatus {
	ch, err := NewLameChannel("a target", status.DataLoss, "gone")
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	st, _ := echo(t, ch, CallParams{}, "x")
	return st
}

// draining is the end of a call that begins after the server has said that it
// takes no more.
func draining(t *testing.T) CallStatus {
	f := newFixture(t)
	req := f.request("req")
	open := f.call(CallParams{}) // keeps the connection
	f.start(open, "open", opSendHeaders())
	f.expect(f.scq, "req", true)
	go f.server.Shutdown(t.Context())
	synctest.Wait()
	st, _ := echo(t, f.channel, CallParams{}, "x")
	open.Release()
	req.Call.Release()
	return st
}
