package compression_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// TestPanicsAreLogged once in a while, with the place: the status has the compressor
// only. It is the same on the reader, elsewhere, and where a message is compressed.
func TestPanicsAreLogged(t *testing.T) {
	bad := config{Compressors: []encoding.Compressor{rot{name: "bad", panics: true}}, Send: "bad"}
	for name, provoke := range map[string]func(c *callstacktest.Call, st *callstacktest.Stream){
		"received": func(_ *callstacktest.Call, st *callstacktest.Stream) { st.Message(flagged("x"), nil) },
		"received, and long": func(_ *callstacktest.Call, st *callstacktest.Stream) {
			st.Message(flagged(noise(away)), nil)
		},
		"sent": func(c *callstacktest.Call, _ *callstacktest.Stream) {
			sendLong(c, transport.OpSendInitialMetadata)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				tr, f := &callstacktest.Transport{}, compression.New(bad)
				for range 3 { // connections
					b := callstack.NewBuilder("TEST")
					b.Add(f)
					b.Add(connected.New()).Terminal()
					stack, err := b.Build(callstack.ChannelArgs{Transport: tr, Logger: slog.New(slog.NewTextHandler(&log, nil))})
					if err != nil {
						t.Fatal(err)
					}
					c := callstacktest.NewCall(stack)
					if err := c.Begin(callstacktest.Client.Args()); err != nil {
						t.Fatal(err)
					}
					all, st := c.Do(transport.OpsRecv), tr.Streams()[len(tr.Streams())-1]
					st.Headers(headers(callstacktest.Client, "bad", ""), nil)
					provoke(c, st)
					synctest.Wait()
					const want = `compressor "bad" panicked: on purpose`
					if err := all.GotTrailers.Err(); status.CodeOf(err) != status.Internal || !strings.Contains(err.Error(), want) {
						t.Errorf("the call ended with %v, want INTERNAL with %q", err, want)
					}
					c.Unref()
				}
				got := log.String()
				if strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "compressor=bad") || !strings.Contains(got, "/compression_test.go:") {
					t.Errorf("three panics are logged as\n%swant one warning with the compressor and the stack", got)
				}
			})
		})
	}
}

// TestTraceAway: the event of a message that is inflated elsewhere is one of that
// goroutine, and has the same cause. A message that shares its batch with what else is
// outstanding is inflated by the reader then.
func TestTraceAway(t *testing.T) {
	for name, tc := range map[string]struct {
		ops  transport.OpSet
		lane string
	}{
		"a message of a stream": {transport.OpRecvMessage, "inflating"},
		"a unary call":          {transport.OpsRecv, "reader"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, tr := trace.NewRecorder(trace.LevelEvents), &callstacktest.Transport{}
				sink := rec.Endpoint("client", "")
				b := callstack.NewBuilder("TEST")
				b.Add(compression.New(config{}))
				b.Add(connected.New()).Terminal()
				stack, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: sink})
				if err != nil {
					t.Fatal(err)
				}
				trace.Role(sink, "reader")
				c := callstacktest.NewCall(stack)
				if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
					t.Fatal(err)
				}
				batches := []*callstacktest.Batch{c.Do(tc.ops)}
				if rest := transport.OpsRecv &^ tc.ops; rest != 0 {
					batches = append(batches, c.Do(rest))
				}
				st := tr.Streams()[0]
				st.Headers(headers(callstacktest.Client, "gzip", ""), nil)
				msg := zeros(t, 1<<20)
				want := fmt.Sprintf("gzip %d to 1048576 bytes", msg.Len())
				st.Message(msg, nil)
				st.Trailers(callstacktest.Client.FillTrailers, nil)
				synctest.Wait()
				batches[0].RecvMessage.Message.Release()
				c.Unref()
				if c.Recycled() != 1 {
					t.Error("the block was not recycled")
				}
				events := rec.Events()
				i := slices.IndexFunc(events, func(r trace.Record) bool { return r.Op == "inflate" })
				if i < 0 {
					t.Fatal("no event tells of the message")
				}
				cause := events[slices.IndexFunc(events, func(r trace.Record) bool { return r.ID == events[i].Cause })]
				if e := events[i]; e.Lane != tc.lane || e.Text != want || cause.Op != "op.up" || cause.Text != "recv_message" {
					t.Errorf("%q of %q comes of %q %q; want %q of %q", e.Text, e.Lane, cause.Op, cause.Text, want, tc.lane)
				}
			})
		})
	}
}

// TestBombsOnManyStreams: of a hundred messages that would become too long no more
// than those at work take memory, and they are refused as ever.
func TestBombsOnManyStreams(t *testing.T) {
	const streams, limit = 100, 4 << 20
	bomb := zeros(t, limit+1)
	_, all := receivers(t, callstacktest.Server, config{}, "gzip", streams)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		before runtime.MemStats
		most   uint64
	)
	runtime.GC()
	runtime.GC() // of what is in pools too
	runtime.ReadMemStats(&before)
	for i := range all {
		r := &all[i]
		r.st.Message(nil, nil) // to begin another batch, whose callback looks
		wg.Add(1)
		r.Do(transport.OpRecvMessage, func(b *callstacktest.Batch) {
			b.RecvMessage.Limit = limit
			b.RecvMessage.Ready = doneFunc(func(err error) {
				defer wg.Done()
				if status.CodeOf(err) != status.ResourceExhausted {
					t.Errorf("recv_message ended with %v, want RESOURCE_EXHAUSTED", err)
				}
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				mu.Lock()
				defer mu.Unlock()
				most = max(most, now.HeapAlloc)
			})
		})
		bomb.Ref()
		r.st.Message(bomb, nil)
	}
	wg.Wait()
	// While a message takes its limit the quarter before is still there. The rest is for
	// what nobody has collected yet.
	if got, bound := int64(most)-int64(before.HeapAlloc), int64(2*workers()*(limit+limit/4)+48<<20); got > bound {
		t.Errorf("%d bombs of %d bytes took %d bytes of memory, want at most %d", streams, bomb.Len(), got, bound)
	}
}
