package surface

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestResetCodes: a client that gives a call up says so with the HTTP/2 code
// that stands for its status, and with nothing else of it.
func TestResetCodes(t *testing.T) {
	for code := status.Canceled; code <= status.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, ch := newWholeScript(t, "server\nsend SETTINGS\nanswer SETTINGS PING\nawait HEADERS stream=1\n"+
					fmt.Sprintf("expect RST_STREAM stream=1 code=%d\n", status.ToHTTP2(code))+untilClosed)
				c, err := ch.CreateCall(CallParams{Method: "/a/b"})
				if err != nil {
					t.Fatal(err)
				}
				var st clientState
				c.StartBatch([]Op{opSendHeaders(), st.opStatus()}, "all")
				synctest.Wait()
				c.CancelWithStatus(code, "a secret")
				c.Pluck("all", nil)
				st.wantStatus(t, code, "a secret")
				c.Release()
				ch.Close()
				if err := srv.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestEveryEndOnAServer: what ends a call under way, what recv_close_on_server
// says of it, and what the client is told on the wire.
func TestEveryEndOnAServer(t *testing.T) {
	const headers = "send HEADERS stream=1 request=/a/b"
	type row struct {
		name   string
		client string                    // the rest of the client's script, after its headers
		fields string                    // more of its headers
		act    func(c Call, fail func()) // of the server, once the call is there
		code   status.Code               // OK: the call ended well
		text   string                    // what the message begins with
		http2  string                    // the code from the client
		match  error                     // which error of package context it matches
		late   time.Duration             // passes before the server asks
	}
	rows := []row{
		{name: "the status reaches the client", client: "await HEADERS stream=1 END_STREAM grpc-status=9 grpc-message=x\n",
			act: func(c Call, _ func()) { c.StartBatch([]Op{opStatus(status.FailedPrecondition, "x")}, "status") }},
		{name: "the connection is lost", client: "close\n", code: status.Unavailable, text: "http2: connection closed"},
		{name: "the client leaves with GOAWAY", client: "send GOAWAY code=ENHANCE_YOUR_CALM debug=bye\nclose\n",
			code: status.Unavailable, text: "http2: connection closed", http2: "ENHANCE_YOUR_CALM"},
		{name: "a rule is broken", client: "send FRAME type=6 length=3 payload=010203\nawait GOAWAY code=FRAME_SIZE_ERROR\n",
			code: status.Unavailable, text: "http2: connection closed", http2: "FRAME_SIZE_ERROR"},
		{name: "the deadline", fields: " grpc-timeout=1S", client: "await HEADERS stream=1 END_STREAM grpc-status=4 grpc-message=\"deadline passed\"\n",
			code: status.DeadlineExceeded, text: "deadline: deadline passed", match: context.DeadlineExceeded},
		{name: "the client gives up before the deadline, and the server asks after it", fields: " grpc-timeout=1S", late: 2 * time.Second,
			client: "send RST_STREAM stream=1 code=CANCEL\n", code: status.Canceled, text: "http2: stream reset by the peer with CANCEL", http2: "CANCEL"},
		{name: "the server cancels", client: "await HEADERS stream=1 END_STREAM :status=200 grpc-status=10 grpc-message=server\n",
			act:  func(c Call, _ func()) { c.CancelWithStatus(status.Aborted, "server") },
			code: status.Aborted, text: "server"},
		{name: "the server cancels after its headers", client: "await HEADERS stream=1 :status=200\nawait HEADERS stream=1 END_STREAM grpc-status=10\n",
			act: func(c Call, _ func()) {
				c.StartBatch([]Op{opSendHeaders()}, "headers")
				c.CancelWithStatus(status.Aborted, "server")
			},
			code: status.Aborted, text: "server"},
		{name: "a message over the limit", client: "send DATA stream=1 prefix=0x7fffffff\nawait HEADERS stream=1 END_STREAM grpc-status=8\n",
			act: func(c Call, _ func()) {
				c.StartBatch([]Op{{Type: RecvMessage, RecvMessage: new(*transport.Buffer)}}, "message")
			},
			code: status.ResourceExhausted, text: "http2: a message of 2147483647 bytes"},
		{name: "the server cuts it off", client: "await GOAWAY\nawait close\n", act: func(_ Call, closeServer func()) { closeServer() },
			code: status.Unavailable, text: "http2: connection closed"},
	}
	for c := status.HTTP2NoError; c <= status.HTTP2HTTP11Required+1; c++ {
		early := row{name: "RST_STREAM " + c.String(), client: fmt.Sprintf("send RST_STREAM stream=1 code=%d\n", c),
			code: status.FromHTTP2(c), text: "http2: stream reset by the peer with " + c.String(), http2: c.String()}
		rows = append(rows, early)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, q := newFixtureServer(t, WithLogger(quietLogger()))
				lis := memconn.Listen()
				served := make(chan error, 1)
				go func() { served <- s.Serve(lis) }()
				synctest.Wait()
				req := new(RequestedCall)
				if e := s.RequestCall(req, nil, q, "request"); e != CallOK {
					t.Fatal(e)
				}
				nc, err := lis.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				played := make(chan error, 1)
				script := framescript.MustParse(row.name, "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS PING\nawait SETTINGS -ACK\n"+
					headers+row.fields+"\nwait 1ms\n"+row.client+untilClosed)
				go func() {
					_, err := script.Run(t.Context(), nc, framescript.Options{})
					played <- err
				}()
				q.Next(time.Time{})
				time.Sleep(row.late)
				var end CallStatus
				var cancelled bool
				req.Call.StartBatch([]Op{{Type: RecvCloseOnServer, Cancelled: &cancelled, StatusResult: &end}}, "close")
				if row.act != nil {
					row.act(req.Call, s.Close)
				}
				if ev := req.Call.Pluck("close", nil); !ev.Success {
					t.Errorf("recv_close_on_server: %v", ev)
				}
				if end.Code != row.code || !strings.HasPrefix(end.Message, row.text) || cancelled != (row.code != status.OK) {
					t.Errorf("the end is %v %q, cancelled=%t, want %v %q", end.Code, end.Message, cancelled, row.code, row.text)
				}
				o, code := transport.OutcomeOf(end.Err, time.Time{}), ""
				if o.HasHTTP2 {
					code = o.HTTP2.String()
				}
				if code != row.http2 {
					t.Errorf("HTTP/2 code = %q, want %q", code, row.http2)
				}
				for _, c := range []error{context.Canceled, context.DeadlineExceeded} {
					if got := errors.Is(end.Err, c); got != (c == row.match) {
						t.Errorf("errors.Is(%v, %v) = %t", end.Err, c, got)
					}
				}
				time.Sleep(time.Millisecond)
				req.Call.Release()
				s.Close()
				if err := <-played; err != nil {
					t.Errorf("the client's script: %v", err)
				}
				<-served
				q.Drain()
			})
		})
	}
}
