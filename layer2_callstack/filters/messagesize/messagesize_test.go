package messagesize_test

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
)

func TestContract(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) {
			callstacktest.Run(t, side, messagesize.New(messagesize.Config{MaxSend: 10}))
		})
	}
}

func TestRecvLimit(t *testing.T) {
	for _, tc := range []struct {
		name               string
		max, asked, wanted int
	}{
		{"nothing configured means 4 MiB", 0, 0, 4 << 20},
		{"a limit of the channel", 10, 0, 10},
		{"a shorter limit of the call stays", 10, 5, 5},
		{"a longer limit of the call stays: it chose", 10, 50, 50},
		{"no limit", -1, 0, -1},
		{"no limit of the channel leaves the call's", -1, 7, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			c := callstacktest.NewCall(callstacktest.Build(t, tr, messagesize.New(messagesize.Config{MaxRecv: tc.max})))
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			defer c.Unref()
			c.Do(transport.OpRecvMessage, func(b *callstacktest.Batch) { b.RecvMessage.Limit = tc.asked })
			if got := tr.Streams()[0].RecvLimit(); got != tc.wanted {
				t.Errorf("MaxRecv %d and a Limit of %d gave a Limit of %d, want %d", tc.max, tc.asked, got, tc.wanted)
			}
			tr.Streams()[0].Message(nil, nil)
		})
	}
}

func TestSendLimit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		max, n int
		refuse bool
	}{
		{"a message as long as the limit", 10, 10, false},
		{"a message one byte longer", 10, 11, true},
		{"no limit configured", 0, 1 << 20, false},
		{"no limit", -1, 1 << 20, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			c := callstacktest.NewCall(callstacktest.Build(t, tr, messagesize.New(messagesize.Config{MaxSend: tc.max})))
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			defer c.Unref()
			first := c.Do(transport.OpSendInitialMetadata | transport.OpRecvTrailingMetadata)
			send := c.Do(transport.OpSendMessage, func(b *callstacktest.Batch) {
				b.SendMessage.Buf.Release()
				b.SendMessage.Buf = transport.WrapBuffer(make([]byte, tc.n))
			})
			err := send.Sent.Err()
			if send.Sent.Count() != 1 || (err != nil) != tc.refuse {
				t.Fatalf("sending %d bytes with a limit of %d ended %d times with %v", tc.n, tc.max, send.Sent.Count(), err)
			}
			if !tc.refuse {
				tr.Streams()[0].Trailers(nil, nil)
				return
			}
			const want = "a message of 11 bytes passes the send limit of 10 bytes (option MaxSend)"
			if status.CodeOf(err) != status.ResourceExhausted || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want RESOURCE_EXHAUSTED with %q", err, want)
			}
			if got := first.GotTrailers.Err(); got != err {
				t.Errorf("recv_trailing_metadata ended with %v, want %v", got, err)
			}
			if send.SendMessage.Buf != nil {
				t.Error("the message was not released")
			}
		})
	}
}
