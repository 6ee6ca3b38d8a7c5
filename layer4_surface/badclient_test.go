package surface

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// These are the bad_client tests of gRPC core, by their names: a client that
// says what no client should, byte by byte, to a server with everything that
// belongs to it. A case has the client's side as a script, with each answer,
// and what the application has seen of it. Afterwards the server is as it was:
// another client is served, no call waits, and every block has come back.

// A badClient is one case.
type badClient struct {
	file string // of gRPC core's test/core/bad_client/tests
	name string
	// script follows the client's preface. SETTINGS and PING of the server are
	// answered.
	script string
	seen   string // by the application, call by call, separated by "; "
}

// A badClientServer is the server of these tests. Its application answers each
// call when the client has sent all its messages, but not those of /stuck,
// whose messages it does not read.
type badClientServer struct {
	t       *testing.T
	s       *Server
	q       *cq.Queue
	lis     *memconn.Listener
	counter *countingFilter
	bar     *RegisteredMethod
	served  chan error
	running sync.WaitGroup

	// slow is how long the application takes from a call to its next slot: the
	// calls that come meanwhile wait.
	slow      time.Duration
	published atomic.Int32

	mu   sync.Mutex
	seen []string // of the calls that have ended, guarded by mu
}

// badClientHTTP2 makes windows that a few frames fill.
var badClientHTTP2 = http2.Config{StreamWindow: 65535, ConnWindow: 131070}

func newBadClientServer(t *testing.T, slow time.Duration, opts ...ServerOption) *badClientServer {
	b := makeBadClientServer(t, slow, opts...)
	b.s.Start()
	b.post(&badClientSlot{})
	b.post(&badClientSlot{registered: true})
	b.start()
	return b
}

// newAllocatingServer is newBadClientServer with allocators in place of slots
// that are posted.
func newAllocatingServer(t *testing.T, opts ...ServerOption) *badClientServer {
	b := makeBadClientServer(t, 0, opts...)
	callbacks := cq.New(cq.Callback, cq.Config{})
	if err := errors.Join(b.s.SetBatchMethodAllocator(callbacks, badClientAllocator{b, false}),
		b.s.SetRegisteredMethodAllocator(b.bar, callbacks, badClientAllocator{b, true})); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

// A badClientAllocator hands out slots.
type badClientAllocator struct {
	b          *badClientServer
	registered bool
}

func (a badClientAllocator) AllocateRequest() *RequestedCall {
	slot := &badClientSlot{registered: a.registered}
	slot.req.Tag = functorFunc(func(bool) { a.b.take(slot) })
	return &slot.req
}

func makeBadClientServer(t *testing.T, slow time.Duration, opts ...ServerOption) *badClientServer {
	b := &badClientServer{t: t, lis: memconn.Listen(), counter: new(countingFilter), served: make(chan error, 1), slow: slow}
	opts = append(opts, WithLogger(quietLogger()), WithHTTP2(badClientHTTP2),
		WithFilter(stacks.Extra{Filter: b.counter, After: []string{"server"}, Before: []string{"message_size"}}))
	b.s, b.q = newFixtureServer(t, opts...)
	b.bar, _ = b.s.RegisterMethod("/registered/bar", "", PayloadReadInitial)
	return b
}

func (b *badClientServer) start() {
	b.running.Go(b.poll)
	go func() { b.served <- b.s.Serve(b.lis) }()
}

// A badClientSlot is a slot, and its own tag.
type badClientSlot struct {
	req        RequestedCall
	registered bool
}

func (b *badClientServer) post(slot *badClientSlot) {
	var e CallError
	if slot.req.WantPayload = slot.registered; slot.registered {
		e = b.s.RequestRegisteredCall(b.bar, &slot.req, nil, b.q, slot)
	} else {
		e = b.s.RequestCall(&slot.req, nil, b.q, slot)
	}
	if e != CallOK && (e != CallErrorCompletionQueueShutdown || b.slow == 0) {
		b.t.Errorf("posting a slot = %v", e)
	}
}

// poll answers what comes until the queue has shut down. Slots that fail are
// those of the end.
func (b *badClientServer) poll() {
	for ev := b.q.Next(time.Time{}); ev.Type == cq.OpComplete; ev = b.q.Next(time.Time{}) {
		if slot := ev.Tag.(*badClientSlot); ev.Success {
			b.take(slot)
			time.Sleep(b.slow) //bars:allow sleep it runs in bubbles
			b.post(slot)
		}
	}
}

// take has the call of a slot answered.
func (b *badClientServer) take(slot *badClientSlot) {
	b.published.Add(1)
	call, method, said := slot.req.Call, slot.req.Details.Method, slot.req.Details.Method
	if slot.registered {
		said += fmt.Sprintf(" payload %q", text(slot.req.Payload))
	}
	b.running.Go(func() { b.answer(call, method, said) })
}

// answer serves one call and notes how it went.
func (b *badClientServer) answer(call Call, method, said string) {
	defer call.Release()
	var cancelled bool
	call.StartBatch([]Op{opCancelled(&cancelled)}, "close")
	for method != "/stuck" {
		var msg *transport.Buffer
		call.StartBatch([]Op{opRecv(&msg)}, "message")
		if !call.Pluck("message", nil).Success {
			said += " broken"
			break
		}
		if msg == nil {
			call.StartBatch([]Op{opStatus(status.OK, "", b.trailers(method)...)}, "status")
			call.Pluck("status", nil)
			break
		}
		said += fmt.Sprintf(" %d bytes", msg.Len())
		msg.Release()
	}
	if call.Pluck("close", nil); cancelled {
		said += " cancelled"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, said)
}

func (b *badClientServer) trailers(method string) []string {
	if method == "/big" {
		return []string{"big", strings.Repeat("x", 4000)}
	}
	return nil
}

// end checks that the server is as healthy as before, ends it within the time
// that it is given, and returns what the application has seen.
func (b *badClientServer) end(graceful time.Duration) []string {
	time.Sleep(30 * b.slow) //bars:allow sleep it is called in bubbles; then nothing waits that may be published
	synctest.Wait()
	b.greet()
	synctest.Wait()
	if graceful > time.Second {
		wantNoPending(b.t, b.s)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), graceful)
	defer cancel()
	if err := b.s.Shutdown(ctx); err != nil && graceful > time.Second {
		b.t.Errorf("Shutdown = %v", err)
	}
	if err := <-b.served; err != nil {
		b.t.Errorf("Serve = %v", err)
	}
	b.q.Shutdown()
	b.running.Wait()
	if begun, ended := b.counter.counts(); begun != ended {
		b.t.Errorf("%d calls were begun, and %d came back to their pool", begun, ended)
	}
	wantNoPending(b.t, b.s)
	if n := b.published.Load(); int(n) != len(b.seen) {
		b.t.Errorf("%d calls were published, of which %d have ended", n, len(b.seen))
	}
	slices.Sort(b.seen)
	if i := slices.Index(b.seen, "/healthy 12 bytes"); i >= 0 {
		b.seen = slices.Delete(b.seen, i, i+1)
	}
	return b.seen
}

// greet makes an ordinary call.
func (b *badClientServer) greet() {
	ch := newMemChannel(b.t, func(ctx context.Context, _, _ string) (net.Conn, error) { return b.lis.Dial(ctx) })
	defer ch.Close()
	c, _ := ch.CreateCall(CallParams{Method: "/healthy", Deadline: time.Now().Add(time.Minute)})
	defer c.Release()
	var st clientState
	c.StartBatch([]Op{opSendHeaders(), opSend("still there?"), opClose(), st.opStatus()}, "healthy")
	c.Pluck("healthy", nil)
	st.wantStatus(b.t, status.OK, "")
}

// wantNoPending checks that no call waits for a request.
func wantNoPending(t *testing.T, s *Server) {
	t.Helper()
	for m := range s.matchers() {
		m.mu.Lock()
		if m.pendingCount != 0 || m.head != nil {
			t.Errorf("%d calls of %q wait for a request", m.pendingCount, m.method)
		}
		m.mu.Unlock()
	}
}

// TestBadClient plays the cases.
func TestBadClient(t *testing.T) {
	for _, row := range slices.Concat(badClientHeaders, badClientFrames, badClientCalls) {
		t.Run(row.file+"/"+strings.ReplaceAll(row.name, " ", "_"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBadClientServer(t, 0)
				nc, err := b.lis.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				script, err := framescript.Parse("client", "client\nsend PREFACE\nanswer SETTINGS PING\nignore WINDOW_UPDATE\n"+row.script)
				if err != nil {
					t.Fatal(err)
				}
				var log []string
				if _, err := script.Run(t.Context(), nc, framescript.Options{Log: func(line string) { log = append(log, line) }}); err != nil {
					t.Errorf("%v\nit read:\n%s", err, strings.Join(log, "\n"))
				}
				synctest.Wait()
				if got := strings.Join(b.end(time.Minute), "; "); got != row.seen {
					t.Errorf("the application saw %q, want %q; the client read:\n%s", got, row.seen, strings.Join(log, "\n"))
				}
			})
		})
	}
}

// TestBadClientConnectionPrefix is gRPC core's connection_prefix: a client whose
// preface is wrong from some byte on, or ends there.
func TestBadClientConnectionPrefix(t *testing.T) {
	const preface = frame.ClientPreface
	for i := range len(preface) {
		for _, next := range []string{"X", ""} {
			t.Run(fmt.Sprintf("%q", preface[:i]+next), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBadClientServer(t, 0)
					nc, err := b.lis.Dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					if _, err := nc.Write([]byte(preface[:i] + next)); err != nil {
						t.Fatal(err)
					}
					if next == "" {
						nc.Close()
					} else if got, err := io.ReadAll(nc); err != nil || len(got) > 0 || time.Since(start) != 0 {
						t.Errorf("the server answered %q, %v after %v, want the end at once", got, err, time.Since(start))
					}
					nc.Close()
					if seen := b.end(time.Minute); len(seen) > 0 {
						t.Errorf("the application saw %q", seen)
					}
				})
			})
		}
	}
}

// TestBadClientEveryPrefix is what gRPC core's headers, initial_settings_frame
// and server_registered_method do with the beginnings of a conversation: wherever
// the connection is cut off, the application hears of a registered call when its
// message is whole, and not before.
func TestBadClientEveryPrefix(t *testing.T) {
	c := newFuzzClient(nil)
	c.out.Write(frame.AppendSettings([]byte(frame.ClientPreface)))
	c.request("/registered/bar", false)
	c.frame(frame.TypeData, 0, 1, []byte{0, 0, 0, 0, 3, 'a'})
	c.frame(frame.TypeData, 0, 1, []byte{'b', 'c'})
	whole := c.out.Bytes()
	for i := range len(whole) + 1 {
		synctest.Test(t, func(t *testing.T) {
			b := newBadClientServer(t, 0)
			nc, err := b.lis.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(whole[:i]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			nc.Close()
			synctest.Wait()
			want := map[bool]string{true: `/registered/bar payload "abc" broken cancelled`}[i == len(whole)]
			if got := strings.Join(b.end(time.Minute), "; "); got != want {
				t.Errorf("of %d of %d bytes the application saw %q, want %q", i, len(whole), got, want)
			}
		})
	}
}
