package clientchannel

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/backoff"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel/resolver"
)

// A world is what a channel under test connects to: a resolver that says what
// the test says, and servers that answer or not.
type world struct {
	t     testing.TB
	start time.Time
	ch    *ClientChannel
	stack *callstack.ChannelStack

	mu sync.Mutex
	// Guarded by mu.
	servers    map[string]func(ctx context.Context) error // nil accepts
	dials      []dial
	transports []*fakeTransport
	onBatch    func(s *callstacktest.Stream, b *transport.StreamOpBatch)
	holdSends  bool
	built      int // resolvers
	resolved   int // requests to resolve again
	resets     int // of the resolver's backoff
	closed     int // resolvers
	sink       resolver.Sink
	logger     *slog.Logger // that the resolver was given
	buildErr   error
	buildNone  bool   // Build returns no resolver, and no error
	onClose    func() // of a resolver; may be nil
}

// A dial is one address that was tried, and when.
type dial struct {
	addr string
	at   time.Duration
}

// exact is a backoff without jitter, so that times can be compared.
var exact = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, MaxDelay: 120 * time.Second}

func newWorld(t testing.TB, edit ...func(*Config)) *world {
	w := &world{t: t, start: time.Now(), servers: map[string]func(context.Context) error{}}
	cfg := Config{
		Target: "test:///server", Resolvers: []resolver.Builder{w}, Credentials: credentials.NewInsecure(),
		Backoff: exact, Connect: w.connect, NewStack: newTestStack, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range edit {
		f(&cfg)
	}
	ch, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	b := callstack.NewBuilder("CLIENT_CHANNEL")
	b.Add(ch).Terminal()
	if w.stack, err = b.Build(callstack.ChannelArgs{Name: "CLIENT_CHANNEL", Trace: cfg.Trace}); err != nil {
		t.Fatalf("Build: %v", err)
	}
	w.ch = ch
	return w
}

func newTestStack(t transport.Transport, _ string) (*callstack.ChannelStack, error) {
	b := callstack.NewBuilder("CLIENT_SUBCHANNEL")
	b.Add(connectedFilter{}).Terminal()
	return b.Build(callstack.ChannelArgs{Transport: t})
}

// run tests in a bubble and checks that the channel leaves nothing behind: the
// bubble does not end while a goroutine is left.
func run(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// close ends the channel.
func (w *world) close() { w.stack.Destroy() }

// Scheme, Build: the world is the resolver of scheme "test".
func (w *world) Scheme() string { return "test" }

func (w *world) Build(_ resolver.Target, sink resolver.Sink, o resolver.Options) (resolver.Resolver, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buildErr != nil {
		return nil, w.buildErr
	}
	if w.sink = sink; w.buildNone {
		return nil, nil
	}
	w.built++
	w.logger = o.Logger
	return w, nil
}

func (w *world) ResolveNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resolved++
}

func (w *world) ResetBackoff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resets++
}

func (w *world) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed++
	if w.onClose != nil {
		w.onClose()
	}
}

// resolve reports addresses and lets the channel digest them.
func (w *world) resolve(addrs ...string) { w.report(resolver.Result{Addresses: addresses(addrs)}) }

func (w *world) report(r resolver.Result) {
	w.t.Helper()
	w.ch.State(true)
	synctest.Wait()
	w.mu.Lock()
	sink := w.sink
	w.mu.Unlock()
	sink.Update(r)
	synctest.Wait()
}

func addresses(addrs []string) (out []resolver.Address) {
	for _, a := range addrs {
		out = append(out, resolver.Address{Addr: a})
	}
	return out
}

// serve sets what happens to whoever connects to addr. Nil accepts; addresses
// that are not set refuse.
func (w *world) serve(addr string, f func(ctx context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[addr] = f
}

func (w *world) unserve(addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.servers, addr)
}

var errRefused = errors.New("connection refused")

// hang is a server that does not answer.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w *world) connect(ctx context.Context, addr resolver.Address, _ string) (transport.Transport, error) {
	w.mu.Lock()
	w.dials = append(w.dials, dial{addr.Addr, time.Since(w.start)})
	f, ok := w.servers[addr.Addr]
	w.mu.Unlock()
	if !ok {
		return nil, errRefused
	}
	if f != nil {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	tr := &fakeTransport{Transport: &callstacktest.Transport{OnBatch: w.onBatch, HoldSends: w.holdSends}}
	w.transports = append(w.transports, tr)
	return tr, nil
}

func (w *world) dialed() []dial {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]dial(nil), w.dials...)
}

// transport returns the i-th connection that was made.
func (w *world) transport(i int) *fakeTransport {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if i >= len(w.transports) {
		w.t.Fatalf("there are %d connections, want more than %d", len(w.transports), i)
	}
	return w.transports[i]
}

func (w *world) wantState(want connectivity.State) {
	w.t.Helper()
	if got := w.ch.State(false); got != want {
		w.t.Fatalf("state %v, want %v (last error: %v)", got, want, w.ch.LastError())
	}
}

// A fakeTransport is a callstacktest.Transport that tells its watcher what
// becomes of it.
type fakeTransport struct {
	*callstacktest.Transport

	mu sync.Mutex
	// Guarded by mu.
	watcher      connectivity.Watcher
	disconnected error
	drained      bool
	closed       bool
}

func (f *fakeTransport) PerformOp(op *transport.Op) {
	f.Transport.PerformOp(op)
	f.mu.Lock()
	if op.StartWatch != nil {
		f.watcher = op.StartWatch
	}
	f.drained = f.drained || op.Goaway != nil
	if op.Disconnect != nil {
		f.disconnected = op.Disconnect
	}
	f.mu.Unlock()
	if op.Goaway != nil { // nothing is open: the connection ends at once
		f.tell(connectivity.Idle, nil)
		f.tell(connectivity.Shutdown, nil)
	}
	if op.Disconnect != nil {
		f.tell(connectivity.Shutdown, op.Disconnect)
	}
}

// tell reports a state as if the connection had changed.
func (f *fakeTransport) tell(s connectivity.State, cause error) {
	f.mu.Lock()
	w := f.watcher
	f.mu.Unlock()
	if w != nil {
		w.OnState(s, cause)
	}
}

func (f *fakeTransport) Close() {
	f.mu.Lock()
	err := f.disconnected
	f.closed = true
	f.mu.Unlock()
	if err == nil {
		err = errors.New("closed")
	}
	for _, s := range f.Streams() {
		s.Trailers(nil, &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "connection lost", Cause: err})
	}
}

func (f *fakeTransport) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// connectedFilter is the bottom of the stack: it has the stream.
type connectedFilter struct{}

func (connectedFilter) Name() string { return "connected" }

func (connectedFilter) NewChannel(args *callstack.ChannelArgs, _ callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &connectedChannel{t: args.Transport}, nil
}

type connectedChannel struct {
	callstack.ChannelBase
	t transport.Transport
}

func (c *connectedChannel) StartTransportOp(op *transport.Op) { c.t.PerformOp(op) }

func (c *connectedChannel) NewCall(callstack.CallElem) callstack.CallElem {
	return &connectedCall{s: c.t.NewStream()}
}

type connectedCall struct{ s transport.Stream }

func (c *connectedCall) Init(args *callstack.CallArgs) error {
	c.s.Init(args.Owner, args.Accepted)
	return nil
}
func (c *connectedCall) StartBatch(b *transport.StreamOpBatch) { c.s.PerformBatch(b) }
func (c *connectedCall) Reset()                                { c.s.Reset() }

const opsUnary = transport.OpsSend | transport.OpsRecv

// answer is a peer that answers a unary call with OK as soon as it is complete.
func answer(s *callstacktest.Stream, b *transport.StreamOpBatch) {
	if s.Sent(opsUnary) && s.Canceled() == nil {
		s.Headers(nil, nil)
		s.Message(transport.NewBuffer(0), nil)
		s.Trailers(func(md *metadata.List) { md.SetStatus(0, "") }, nil)
	}
}

// answering makes every server answer.
func (w *world) answering() *world {
	w.onBatch = answer
	return w
}

// begin starts a call.
func (w *world) begin(args callstack.CallArgs) *callstacktest.Call {
	w.t.Helper()
	c := callstacktest.NewCall(w.stack)
	args.Path = "/test/Method"
	if err := c.Begin(args); err != nil {
		w.t.Fatalf("Begin: %v", err)
	}
	return c
}

func waitForReady(b *callstacktest.Batch) {
	b.SendInitialMetadata.Flags |= transport.FlagWaitForReady
}

func cancelWith(err error) func(*callstacktest.Batch) {
	return func(b *callstacktest.Batch) { b.CancelErr = err }
}

// wantPending checks that no callback of b has run.
func wantPending(t testing.TB, b *callstacktest.Batch) {
	t.Helper()
	synctest.Wait()
	if got := b.Order(); len(got) != 0 {
		t.Fatalf("callbacks %v ran, want none; trailers: %v", got, b.GotTrailers.Err())
	}
}

// wantCode checks how a call has ended.
func wantCode(t testing.TB, b *callstacktest.Batch, want status.Code) error {
	t.Helper()
	synctest.Wait()
	if n := b.GotTrailers.Count(); n != 1 {
		t.Fatalf("recv_trailing_metadata ended %d times, want once", n)
	}
	err := b.GotTrailers.Err()
	if got := status.CodeOf(err); got != want {
		t.Fatalf("the call ended with %v (%v), want %v", got, err, want)
	}
	return err
}
