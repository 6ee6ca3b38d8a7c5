package clientauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/strata-grpc/strata/internal/userpanic"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "client_auth"

const component = "filter:" + Name // in traces

// Config says what all calls send. The zero value is for channels whose calls
// bring credentials of their own, or none.
type Config struct {
	// Credentials are asked for every call, in this order and before those of
	// the call itself.
	Credentials []credentials.PerRPCCredentials
}

// Validate returns what is wrong with c.
func (c Config) Validate() error {
	for i, creds := range c.Credentials {
		var err error
		if creds == nil {
			err = errors.New("is nil")
		} else if err = tryOut(creds); err != nil {
			err = fmt.Errorf("cannot be used: %w", err)
		}
		if err != nil {
			return fmt.Errorf("option Credentials: number %d of %d %w", i+1, len(c.Credentials), err)
		}
	}
	return nil
}

// tryOut calls the methods that do no more than answer. A nil pointer in the
// interface is found out here, unless its type allows it.
func tryOut(creds credentials.PerRPCCredentials) error {
	if err := userpanic.Catch(creds, "RequireTransportSecurity", func() error {
		creds.RequireTransportSecurity()
		return nil
	}); err != nil {
		return err
	}
	return userpanic.Catch(creds, "NonBlocking", func() error {
		mayBlock(creds)
		return nil
	})
}

// New returns the filter. It serves clients.
func New(cfg Config) callstack.Filter { return &filter{cfg} }

type filter struct{ cfg Config }

func (f *filter) Name() string    { return Name }
func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	ch := &channel{
		ChannelBase: callstack.ChannelBase{Next: next},
		creds:       slices.Clone(f.cfg.Credentials),
		t:           args.Transport, sink: args.Trace, logger: args.Logger,
	}
	ch.blocking = slices.ContainsFunc(ch.creds, mayBlock)
	if ch.logger == nil {
		ch.logger = slog.Default()
	}
	if ch.t != nil {
		p := ch.t.Peer()
		ch.auth, ch.peer = p.AuthInfo, p.String()
	}
	return ch, nil
}

// mayBlock reports whether creds are to be asked on a goroutine.
func mayBlock(creds credentials.PerRPCCredentials) bool {
	n, ok := creds.(credentials.NonBlocker)
	return !ok || !n.NonBlocking()
}

type channel struct {
	callstack.ChannelBase

	// Set by NewChannel, read-only afterwards.
	creds    []credentials.PerRPCCredentials
	blocking bool                 // one of creds may
	t        transport.Transport  // nil in a stack without one
	auth     credentials.AuthInfo // of the server; nil if nobody knows
	peer     string
	sink     trace.Sink // nil for none
	logger   *slog.Logger

	watch sync.Once // the state of the connection, from the first call that has to wait

	mu sync.Mutex // a leaf
	// Guarded by mu.
	waiting map[*call]struct{} // calls that are held
	ended   bool               // the connection has
	cause   error              // of that
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

type call struct {
	callstack.CallBase
	ch   *channel
	args *callstack.CallArgs
	hold callstack.Hold

	// Set before send_initial_metadata is passed on, read by its callback.
	list *metadata.List
	own  int // pairs of it that are not of credentials
	sent transport.Done

	place place // for credentials that answer at once

	mu sync.Mutex
	// Guarded by mu. Whoever takes asking from true to false decides how the
	// call goes on, and is the last to touch list before it is passed on.
	asking    bool
	cancelled bool
	stop      context.CancelFunc // ends the context of fetch
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.args = args
	return nil
}

func (c *call) Reset() {
	c.args, c.list, c.sent = nil, nil, nil
	c.cancelled = false
	c.hold.Reset()
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpCancelStream) {
		c.cancel(b)
		return
	}
	// Credentials of the call are looked at only here: until its headers are
	// started the application may set others.
	if b.Ops.Has(transport.OpSendInitialMetadata) && (len(c.ch.creds) > 0 || c.args.Credentials != nil) {
		c.authorize(b)
	}
	c.hold.StartBatch(c.Next, c.args, b)
}

// cancel passes a cancel on, then what is held, and ends the context of fetch
// last: so the error of the call is the one in b.
func (c *call) cancel(b *transport.StreamOpBatch) {
	c.mu.Lock()
	asked := c.asking
	stop := c.settleLocked()
	c.cancelled = true
	c.mu.Unlock()
	if asked && errors.Is(b.CancelErr, context.DeadlineExceeded) {
		b.CancelErr = c.ch.fault(status.DeadlineExceeded, b.CancelErr, "deadline passed while credentials were asked")
	}
	c.hold.StartBatch(c.Next, c.args, b)
	if stop != nil {
		stop()
	}
}

// settleLocked ends the waiting for credentials. It returns what ends their
// context, or nil if nobody waits. Caller holds c.mu.
func (c *call) settleLocked() context.CancelFunc {
	stop := c.stop
	c.asking, c.stop = false, nil
	return stop
}

// each calls f for the channel's credentials and then those of the call, until
// one returns an error.
func (c *call) each(f func(credentials.PerRPCCredentials) error) error {
	for _, creds := range c.ch.creds {
		if err := f(creds); err != nil {
			return err
		}
	}
	if own := c.args.Credentials; own != nil {
		return f(own)
	}
	return nil
}

// The callback of send_initial_metadata is this other name of a call.
type onSent call

// Run takes the fields of the credentials back before anybody above sees them.
func (c *onSent) Run(err error) {
	c.list.Truncate(c.own)
	c.sent.Run(err)
}
