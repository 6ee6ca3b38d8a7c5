package compression_test

import (
	"errors"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// TestMessageBeforeItsHeaders: an application may ask for a message before it
// asks for the headers. One that is compressed waits for them, since they say
// how, and does not outlive the call.
func TestMessageBeforeItsHeaders(t *testing.T) {
	gone := errors.New("gone")
	const want = "the call ended before the headers were asked for"
	for _, tc := range []struct {
		name string
		then func(c *callstacktest.Call, st *callstacktest.Stream)
		text string // of the error; empty: the message comes
	}{
		{"the headers follow", func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata)
			st.Headers(headers(callstacktest.Client, "gzip", ""), nil)
		}, ""},
		{"the headers fail", func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata)
			st.Headers(nil, gone)
		}, "gone"},
		{"the call ends", func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvTrailingMetadata)
			st.Trailers(callstacktest.Client.FillTrailers, nil)
		}, want},
		{"the call is cancelled", func(c *callstacktest.Call, _ *callstacktest.Stream) {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = gone })
		}, want},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			c := callstacktest.NewCall(callstacktest.Build(t, tr, compression.New(config{})))
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			st := tr.Streams()[0]
			b := c.Do(transport.OpRecvMessage)
			msg := compressed(t, encoding.Gzip{}, long)
			msg.Ref()
			st.Message(msg, nil)
			if b.GotMessage.Count() != 0 {
				t.Fatalf("recv_message ended with %v before the headers", b.GotMessage.Err())
			}
			tc.then(c, st)
			got, err := b.RecvMessage.Message, b.GotMessage.Err()
			switch {
			case b.GotMessage.Count() != 1:
				t.Fatalf("recv_message ended %d times", b.GotMessage.Count())
			case tc.text == "" && (err != nil || got == nil || string(got.Bytes()) != long):
				t.Errorf("recv_message ended with %v and %v", got, err)
			case tc.text != "" && (got != nil || !strings.Contains(err.Error(), tc.text)):
				t.Errorf("recv_message ended with %v and %v, want %q", got, err, tc.text)
			}
			got.Release()
			wantLastReference(t, msg)
			c.Unref()
			if c.Recycled() != 1 {
				t.Error("the block was not recycled")
			}
		})
	}
}
