package serverauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/strata-grpc/strata/internal/warnlimit"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "server_auth"

const component = "filter:" + Name // in traces

// A Request is a call that has come and is not known to the application yet. It
// belongs to the hook until the hook returns.
type Request struct {
	// Path is the method that is called, "/service/method", and Authority what
	// the client takes the server for.
	Path, Authority string

	// Peer is the other end of the connection, with what the handshake found out.
	Peer *peer.Peer

	// Metadata is what the client sent, by keys in lower case. The hook may delete
	// a token, so that nobody after it sees it, or add pairs; a client may have
	// sent pairs of the same key.
	Metadata *metadata.List

	// Principal is for the hook to set: who calls, in a type of the application's
	// own. A handler finds it with [FromContext].
	Principal any
}

// A Request is printed without what it holds, for every verb: metadata may be
// secrets, and a principal is what the application makes of it.

// String names the call.
func (r Request) String() string { return "Request(" + r.Path + ")" }

// Format writes String.
func (r Request) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue is String, for package slog.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Config is the hook and how it is run.
type Config struct {
	// Process is the hook: it returns nil to let the call in, and otherwise why
	// not, best as an error of package status. It is called from many goroutines
	// at the same time. The text of an error that is no status is logged at level
	// debug, so it must not quote a token. Mind that what another server has answered
	// to a call of the hook is a status too.
	//
	// ctx ends at the call's deadline and when the call ends. A Process that goes
	// on after that keeps the memory of the call from being used again.
	Process func(ctx context.Context, r *Request) error

	// Inline says that Process answers at once and never waits. It is then run on
	// the goroutine that reads the connection, where it must not hold up the other
	// calls, and ctx has neither end nor deadline. That saves a goroutine and a
	// context for each call: six allocations, and about 2 µs.
	Inline bool
}

// Validate returns an error that says which option is wrong.
func (c Config) Validate() error {
	if c.Process == nil {
		return errors.New("option Process is nil, want a function that decides about calls")
	}
	return nil
}

// New returns the filter. It serves servers.
func New(cfg Config) callstack.Filter { return &filter{cfg: cfg} }

// panicInterval is how long panics of the hook are counted, rather than warned of,
// after a warning: whoever makes it panic could do so with each call.
const panicInterval = 10 * time.Second

type filter struct {
	cfg Config

	once   sync.Once
	panics *slog.Logger // of all connections; set by once
}

func (f *filter) Name() string    { return Name }
func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	ch := &channel{ChannelBase: callstack.ChannelBase{Next: next}, cfg: f.cfg, sink: args.Trace, logger: args.Logger}
	if args.Transport != nil {
		ch.peer = args.Transport.Peer()
	}
	if ch.logger == nil {
		ch.logger = slog.Default()
	}
	f.once.Do(func() { f.panics = slog.New(warnlimit.New(warnlimit.WithStack(ch.logger.Handler()), panicInterval)) })
	ch.panics = f.panics
	return ch, nil
}

type channel struct {
	callstack.ChannelBase
	cfg    Config
	peer   *peer.Peer // nil in a stack without a transport
	logger *slog.Logger
	panics *slog.Logger // where warnings are few
	sink   trace.Sink   // nil for none
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	c := &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
	if !ch.cfg.Inline {
		c.async = &async{}
	}
	return c
}

type contextKey struct{}

// NewContext returns a context with a principal, for tests of handlers.
func NewContext(ctx context.Context, principal any) context.Context {
	return context.WithValue(ctx, contextKey{}, principal)
}

// FromContext returns the principal of the call that a handler's ctx belongs to,
// nil if there is none.
func FromContext(ctx context.Context) any { return ctx.Value(contextKey{}) }

// Key is the key under which a context of the library answers Value with the
// principal. It is for implementations of context.Context; use FromContext.
func Key() any { return contextKey{} }
