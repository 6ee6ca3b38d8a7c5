//go:build !race

package compression_test

import (
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// TestAllocsCoded pins that a message of a stream that is sent compressed costs
// no allocation, and one that is inflated only those of package flate, which
// makes a table for each long code.
func TestAllocsCoded(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) {
			text := strings.Repeat("compress me ", 100)
			packed := compressed(t, encoding.Gzip{}, text)
			c, all, st := begin(t, side, config{Send: "gzip"})
			defer c.Unref()
			st.Headers(headers(side, "gzip", "gzip"), nil)
			c.Do(transport.OpSendInitialMetadata)
			st.Message(nil, nil) // begin has asked for one
			if err := all.GotHeaders.Err(); err != nil {
				t.Fatal(err)
			}
			send, recv := callstacktest.NewBatch(0), callstacktest.NewBatch(0)
			plain, got := []byte(text), 0
			sending := func() {
				send.Renew(transport.OpSendMessage)
				send.SendMessage.Buf.Release() // which has no room
				send.SendMessage.Buf = transport.NewBuffer(len(plain))
				send.SendMessage.Buf.Append(plain)
				c.Stack.StartBatch(&send.StreamOpBatch)
			}
			receiving := func() {
				recv.Renew(transport.OpRecvMessage)
				c.Stack.StartBatch(&recv.StreamOpBatch)
				packed.Ref()
				st.Message(packed, nil)
				got = recv.RecvMessage.Message.Len()
				recv.RecvMessage.Message.Release()
			}
			sending()
			receiving()
			if _, coded := st.SentMessage(); !coded || got != len(text) {
				t.Fatalf("the message was sent coded: %t; %d bytes were received, want %d", coded, got, len(text))
			}
			if got := testing.AllocsPerRun(200, sending); got != 0 {
				t.Errorf("a message sent made %v allocations, want 0", got)
			}
			if got := testing.AllocsPerRun(200, receiving); got > 2 {
				t.Errorf("a message received made %v allocations, want at most 2", got)
			}
			st.Trailers(side.FillTrailers, nil)
		})
	}
}
