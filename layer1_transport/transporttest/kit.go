package transporttest

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// Options is what a case wants of the pair that it is given.
type Options struct {
	// MaxConcurrentStreams is how many streams the server lets the client
	// have open; 0 is no limit. A case sets it only where the pair does not
	// lack [ConcurrencyLimit].
	MaxConcurrentStreams uint32
}

// A Pair returns the two ends of a new connection. The case closes both. What
// else must end with the test is for t.Cleanup.
type Pair = func(t testing.TB, o Options) (client, server transport.Transport)

// A Capability is something that not every transport can do.
type Capability uint8

// The capabilities. Cases that need one are left out for a pair that lacks it.
const (
	// FlowControl: a receiver that does not read stops its sender.
	FlowControl Capability = iota
	// ConcurrencyLimit: the server limits the streams that are open.
	ConcurrencyLimit
	// Graceful: the goaway operation.
	Graceful
	// Pings: the ping operation.
	Pings
	// Bulk: megabytes in a moment, which a connection that reads and writes
	// single bytes has not under the race detector.
	Bulk
)

// Run exercises the contract of package transport on the pairs that pair
// returns, each case on a new one. lacks names what they cannot do.
func Run(t *testing.T, pair Pair, lacks ...Capability) {
	run(t, lacks, func(t *testing.T, tc testCase) {
		before := goroutines()
		e := newEnv(t, pair, tc.options)
		tc.test(e)
		e.finish()
		checkGoroutines(t, before)
	})
}

// RunInBubbles is Run with every case in a bubble of package synctest, where a
// goroutine that outlives the connection fails the case and what should not
// happen is seen not to happen. The pair must not do I/O outside the bubble.
func RunInBubbles(t *testing.T, pair Pair, lacks ...Capability) {
	run(t, lacks, func(t *testing.T, tc testCase) {
		synctest.Test(t, func(t *testing.T) {
			before := goroutines()
			e := newEnv(t, pair, tc.options)
			e.inBubble = true
			tc.test(e)
			e.finish()
			synctest.Wait()
			if now := goroutines(); len(now) > len(before) {
				t.Errorf("goroutines are left after Close of both ends:\n%s", strings.Join(now, "\n\n"))
			}
		})
	})
}

// A testCase is one sentence of the contract.
type testCase struct {
	name    string
	needs   []Capability
	options Options
	test    func(e *env)
}

func run(t *testing.T, lacks []Capability, body func(t *testing.T, tc testCase)) {
	t.Helper()
	for _, tc := range slices.Concat(orderCases, messageCases, endCases, cancelCases, connectionCases, suiteCases) {
		if slices.ContainsFunc(tc.needs, func(c Capability) bool { return slices.Contains(lacks, c) }) {
			continue
		}
		t.Run(tc.name, func(t *testing.T) { body(t, tc) })
	}
}

// An env is what a case works with. Only the goroutine of the test uses it.
type env struct {
	*testing.T
	client, server transport.Transport
	acceptor       *Acceptor
	calls          []*Call
	inBubble       bool
}

func newEnv(t *testing.T, pair Pair, o Options) *env {
	client, server := pair(t, o)
	return &env{T: t, client: client, server: server, acceptor: NewAcceptor(t, server)}
}

// finish ends whatever the case left open and checks that nothing refers to
// the calls any more.
func (e *env) finish() {
	for _, c := range e.calls {
		c.Release()
	}
	e.client.Close()
	e.server.Close()
	for _, c := range slices.Concat(e.calls, e.acceptor.waiting()) {
		c.WaitGone()
	}
}

// newClient returns the client's end of a call that has not begun.
func (e *env) newClient() *Call {
	c := NewClientCall(e.T, e.client)
	e.calls = append(e.calls, c)
	return c
}

// accept returns the server's end of the next call.
func (e *env) accept() *Call {
	e.Helper()
	s := e.acceptor.Accept()
	e.calls = append(e.calls, s)
	return s
}

// call begins a call and returns both of its ends.
func (e *env) call(kv ...string) (c, s *Call) {
	e.Helper()
	c = e.newClient()
	e.sent(c.Batch().SendHeaders(RequestHeaders(kv...)).Start())
	return c, e.accept()
}

// sent waits for the sends of b, which must not fail.
func (e *env) sent(b *Batch) {
	e.Helper()
	if err := b.WaitSent(); err != nil {
		e.Fatalf("%s: sending: %v, want no error", b.call.Owner, err)
	}
}

// gotHeaders waits for headers, which must come.
func (e *env) gotHeaders(b *Batch) *metadata.List {
	e.Helper()
	if err := b.WaitHeaders(); err != nil {
		e.Fatalf("%s: recv_initial_metadata: %v, want headers", b.call.Owner, err)
	}
	return &b.Headers
}

// gotMessage waits for a message, which must be want.
func (e *env) gotMessage(b *Batch, want []byte) {
	e.Helper()
	got, ok, err := b.WaitMessage()
	if err != nil || !ok {
		e.Fatalf("%s: recv_message: message %v, error %v; want a message of %d bytes", b.call.Owner, ok, err, len(want))
	}
	if !bytes.Equal(got, want) {
		e.Fatalf("%s: recv_message: got %s, want %s", b.call.Owner, abbreviate(got), abbreviate(want))
	}
}

// noMessage waits for the end of the messages.
func (e *env) noMessage(b *Batch) {
	e.Helper()
	if got, ok, err := b.WaitMessage(); err != nil || ok {
		e.Fatalf("%s: recv_message: message %v of %d bytes, error %v; want neither", b.call.Owner, ok, len(got), err)
	}
}

// gotStatus waits for the end of a client's call, which must be by trailers.
func (e *env) gotStatus(b *Batch, code status.Code, message string) *metadata.List {
	e.Helper()
	md, err := b.WaitTrailers()
	if err != nil || !md.HasStatus {
		e.Fatalf("%s: recv_trailing_metadata: error %v, status %v; want trailers with a status", b.call.Owner, err, md.HasStatus)
	}
	if got := StatusOf(md, nil); got.Code() != code || got.Message() != message {
		e.Fatalf("%s: status %v %q, want %v %q", b.call.Owner, got.Code(), got.Message(), code, message)
	}
	return md
}

// endedWell waits for the end of a server's call, which must not be cancelled.
func (e *env) endedWell(b *Batch) {
	e.Helper()
	if _, err := b.WaitTrailers(); err != nil {
		e.Fatalf("%s: recv_trailing_metadata: %v, want no error", b.call.Owner, err)
	}
}

// failed checks that err is one of the transport's own, with that code.
func (e *env) failed(what string, err error, code status.Code) {
	e.Helper()
	got, ok := codeOf(err)
	if !ok || got != code {
		e.Fatalf("%s: error %v (%T), want a *transport.Error with code %v", what, err, err, code)
	}
}

// settled waits until nothing can happen any more and reports true. Outside a
// bubble it cannot know and reports false.
func (e *env) settled() bool {
	if e.inBubble {
		synctest.Wait()
	}
	return e.inBubble
}

// abbreviate describes bytes that may be many.
func abbreviate(b []byte) string {
	if len(b) > 32 {
		return fmt.Sprintf("%d bytes %.32q...", len(b), b)
	}
	return fmt.Sprintf("%d bytes %q", len(b), b)
}

// goroutines returns the stacks of all goroutines that are not the test's own
// machinery.
func goroutines() (stacks []string) {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if !strings.Contains(stack, "testing.(*T).Run") && !strings.Contains(stack, "testing.tRunner") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// exitTurns is how often the scheduler is let run for goroutines to exit that
// have nothing to do but that.
const exitTurns = 10000

func checkGoroutines(t *testing.T, before []string) {
	t.Helper()
	now := goroutines()
	for turn := 0; len(now) > len(before) && turn < exitTurns; turn++ {
		runtime.Gosched()
		if turn%100 == 0 {
			now = goroutines()
		}
	}
	if len(now) > len(before) {
		t.Errorf("goroutines are left after Close of both ends:\n%s", strings.Join(now, "\n\n"))
	}
}
