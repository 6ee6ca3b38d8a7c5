package compression_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// sendLong starts a message before or after the headers.
func sendLong(c *callstacktest.Call, more transport.OpSet) *callstacktest.Batch {
	return c.Do(transport.OpSendMessage|more, func(b *callstacktest.Batch) { b.SendMessage.Buf.Append([]byte(long)) })
}

// TestMessageBeforeHeaders: it waits for them, since they say how it is coded,
// and what is behind it waits too.
func TestMessageBeforeHeaders(t *testing.T) {
	const sm, stm, sim = transport.OpSendMessage, transport.OpSendTrailingMetadata, transport.OpSendInitialMetadata
	for _, tc := range []struct {
		name string
		then []transport.OpSet // what follows the message, headers last
		want []transport.OpSet
	}{
		{"the message alone", []transport.OpSet{sim}, []transport.OpSet{sm, sim}},
		{"the end behind it", []transport.OpSet{stm, sim}, []transport.OpSet{sm, stm, sim}},
		{"the end with the headers", []transport.OpSet{sim | stm}, []transport.OpSet{sm, sim | stm}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _, st := begin(t, callstacktest.Client, config{Send: "deflate"})
			defer c.Unref()
			first := sendLong(c, 0)
			for _, ops := range tc.then {
				if got := st.Batches()[1:]; len(got) != 0 || first.Sent.Count() != 0 {
					t.Fatalf("%v went down before the headers", got)
				}
				c.Do(ops, func(b *callstacktest.Batch) { b.SendHeaders.Encoding = "gzip" })
			}
			if got := st.Batches()[1:]; !slices.Equal(got, tc.want) {
				t.Errorf("went down: %v, want %v", got, tc.want)
			}
			if got, flag := st.SentMessage(); !flag || inflated(t, encoding.Gzip{}, got) != long {
				t.Errorf("the message went down with flag %v and %d bytes", flag, len(got))
			}
			if err := first.Sent.Err(); first.Sent.Count() != 1 || err != nil {
				t.Errorf("the message ended %d times with %v", first.Sent.Count(), err)
			}
			sendLong(c, 0)
			if _, flag := st.SentMessage(); !flag {
				t.Error("a message after the headers went down as it is")
			}
			st.Trailers(callstacktest.Client.FillTrailers, nil)
		})
	}
}

// TestEndWhileHeld: a message whose headers never come does not outlive the call.
func TestEndWhileHeld(t *testing.T) {
	why := errors.New("over")
	for _, tc := range []struct {
		name string
		end  func(*callstacktest.Call, *callstacktest.Stream)
	}{
		{"cancelled", func(c *callstacktest.Call, _ *callstacktest.Stream) {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = why })
		}},
		{"ended by the peer", func(_ *callstacktest.Call, st *callstacktest.Stream) {
			st.Trailers(callstacktest.Client.FillTrailers, nil)
		}},
		{"ended by a message that cannot be read", func(_ *callstacktest.Call, st *callstacktest.Stream) {
			st.Headers(headers(callstacktest.Client, "", ""), nil)
			st.Message(flagged("x"), nil)
		}},
	} {
		for _, late := range []bool{false, true} {
			name := tc.name + map[bool]string{true: " before the message", false: ""}[late]
			t.Run(name, func(t *testing.T) {
				c, _, st := begin(t, callstacktest.Client, config{Send: "gzip"})
				var batches []*callstacktest.Batch
				send := func() {
					batches = append(batches, sendLong(c, 0), c.Do(transport.OpSendTrailingMetadata))
				}
				if !late {
					send()
				}
				tc.end(c, st)
				if late {
					send()
				}
				for _, b := range batches {
					if b.Sent.Count() != 1 {
						t.Errorf("%v ended %d times", b.Ops, b.Sent.Count())
					}
				}
				c.Unref()
				if c.Recycled() != 1 {
					t.Error("the block was not recycled")
				}
			})
		}
	}
}

// TestHoldRaces starts a message, the half-close behind it, the headers and a
// cancel at the same time: each ends once, whatever is first.
func TestHoldRaces(t *testing.T) {
	for range 300 {
		c, _, st := begin(t, callstacktest.Client, config{Send: "gzip"})
		var (
			wg      sync.WaitGroup
			batches [3]*callstacktest.Batch
		)
		wg.Go(func() {
			batches[0] = sendLong(c, 0)
			batches[1] = c.Do(transport.OpSendTrailingMetadata)
		})
		wg.Go(func() { batches[2] = c.Do(transport.OpSendInitialMetadata) })
		wg.Go(func() {
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = errors.New("over") })
		})
		wg.Wait()
		for _, b := range batches {
			if b.Sent.Count() != 1 {
				t.Fatalf("%v ended %d times", b.Ops, b.Sent.Count())
			}
		}
		st.Trailers(nil, nil)
		c.Unref()
		if c.Recycled() != 1 {
			t.Fatal("the block was not recycled")
		}
	}
}
