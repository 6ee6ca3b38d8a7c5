package compression_test

import (
	"fmt"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// BenchmarkReceive is a message of a stream in gzip, on the spot up to 32 KiB.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%dKiB", size>>10), func(b *testing.B) {
			var plain []byte
			for i := 0; len(plain) < size; i++ {
				plain = fmt.Appendf(plain, "user-%08x@example.com order %d;", uint32(i)*2654435761, i)
			}
			packed := compressed(b, encoding.Gzip{}, string(plain[:size]))
			tr := &callstacktest.Transport{}
			c := callstacktest.NewCall(callstacktest.Build(b, tr, compression.New(config{})))
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				b.Fatal(err)
			}
			all, st := c.Do(transport.OpRecvInitialMetadata|transport.OpRecvTrailingMetadata), tr.Streams()[0]
			st.Headers(headers(callstacktest.Client, "gzip", ""), nil)
			recv, done := callstacktest.NewBatch(0), make(chan error, 1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				recv.Renew(transport.OpRecvMessage)
				recv.RecvMessage.Ready = received(done)
				c.Stack.StartBatch(&recv.StreamOpBatch)
				packed.Ref()
				st.Message(packed, nil)
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				recv.RecvMessage.Message.Release()
			}
			st.Trailers(callstacktest.Client.FillTrailers, nil)
			if err := all.GotTrailers.Err(); err != nil {
				b.Fatal(err)
			}
			c.Unref()
		})
	}
}

// A received is a callback that says so.
type received chan error

func (c received) Run(err error) { c <- err }
