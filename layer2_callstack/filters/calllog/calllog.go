// Package calllog is the filter that logs each call when it ends: method, status
// code, time, and the bytes of its messages, in one line. It serves clients and
// servers, and as an example of a filter that only looks.
//
// # Contract
//
//   - A line is written before the end of the call goes up, so that it is there
//     when the application learns of the end. A call whose end nobody asks for
//     has no line.
//   - Nothing of what a call carries is logged: no metadata, no message, no text
//     of a status. A method is cut to 256 bytes, since clients choose it.
//   - Sizes are those that the filter sees. Above compression they are the
//     application's, below it those of the wire.
//   - In a CLIENT_CHANNEL a call passes once, in the stack of a connection once
//     for each attempt.
//   - A call that begins while the logger discards the level costs nothing.
//   - Not here: calls as they begin, single messages (traces).
//
// # Goroutines
//
// None. The logger's handler runs on the goroutine that reads the connection, so
// a slow one delays all calls of that connection.
//
// # Locks
//
// None.
package calllog

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/strata-grpc/strata/internal/userpanic"
	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// Name is the name of the filter.
const Name = "call_log"

// Config says where the lines go. The zero value writes them at level debug to
// the logger of the channel or server.
type Config struct {
	// Logger takes the lines; nil means the logger of the channel or server.
	Logger *slog.Logger

	// Level is that of the lines; nil means slog.LevelDebug.
	Level slog.Leveler
}

// Validate returns what is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	if c.Level == nil {
		return nil
	}
	if err := userpanic.Catch(c.Level, "Level", func() error {
		c.Level.Level()
		return nil
	}); err != nil {
		return fmt.Errorf("option Level cannot be used: %w", err)
	}
	return nil
}

// New returns the filter.
func New(cfg Config) callstack.Filter { return &filter{cfg} }

type filter struct{ cfg Config }

func (f *filter) Name() string { return Name }

func (f *filter) Validate() error { return f.cfg.Validate() }

func (f *filter) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	ch := &channel{callstack.ChannelBase{Next: next}, f.cfg.Logger, f.cfg.Level}
	if ch.logger == nil {
		ch.logger = args.Logger
	}
	if ch.logger == nil {
		ch.logger = slog.Default()
	}
	if ch.level == nil {
		ch.level = slog.LevelDebug
	}
	return ch, nil
}

type channel struct {
	callstack.ChannelBase
	logger *slog.Logger
	level  slog.Leveler
}

func (ch *channel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &call{CallBase: callstack.CallBase{Next: next}, ch: ch}
}

type call struct {
	callstack.CallBase
	ch *channel

	// Set by Init, read-only until Reset.
	on    bool
	level slog.Level
	args  *callstack.CallArgs
	begun time.Time

	// For callbacks, which run one after another: what they stand in for, and
	// what they have learned.
	headers      *transport.RecvInitialMetadata
	headersDone  transport.Done
	message      *transport.RecvMessage
	messageDone  transport.Done
	trailers     *transport.RecvTrailingMetadata
	trailersDone transport.Done
	path         string
	deadline     time.Time
	received     int

	// Atomic: the application sends while callbacks run.
	sent     atomic.Int64
	answered atomic.Pointer[answer]
	answer   answer
}

// An answer is the status that a server's application sends.
type answer struct {
	code status.Code
	sent *atomic.Bool // whether it went out; nil if that is not told
}

func (c *call) Init(args *callstack.CallArgs) error {
	c.level = c.ch.level.Level()
	if c.on = c.ch.logger.Enabled(context.Background(), c.level); c.on {
		c.args, c.path, c.deadline, c.begun = args, args.Path, args.Deadline, time.Now()
	}
	return nil
}

func (c *call) Reset() {
	c.on, c.args = false, nil
	c.headers, c.headersDone, c.message, c.messageDone, c.trailers, c.trailersDone = nil, nil, nil, nil, nil, nil
	c.path, c.received = "", 0
	c.sent.Store(0)
	c.answered.Store(nil)
	c.answer = answer{}
}

func (c *call) StartBatch(b *transport.StreamOpBatch) {
	if c.on {
		c.look(b)
	}
	c.Next.StartBatch(b)
}

// look takes note of what goes down, and stands in for the callbacks that will
// come up.
func (c *call) look(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendMessage) {
		c.sent.Add(int64(b.SendMessage.Buf.Len()))
	}
	if md := b.SendTrailingMetadata.MD; b.Ops.Has(transport.OpSendTrailingMetadata) && md.HasStatus {
		c.answer = answer{status.Code(md.Status), b.SendTrailingMetadata.Sent}
		c.answered.Store(&c.answer)
	}
	if b.Ops.Has(transport.OpRecvInitialMetadata) && c.args.Accepted != nil {
		c.headers, c.headersDone = &b.RecvInitialMetadata, b.RecvInitialMetadata.Ready
		b.RecvInitialMetadata.Ready = (*onHeaders)(c)
	}
	if b.Ops.Has(transport.OpRecvMessage) {
		c.message, c.messageDone = &b.RecvMessage, b.RecvMessage.Ready
		b.RecvMessage.Ready = (*onMessage)(c)
	}
	if b.Ops.Has(transport.OpRecvTrailingMetadata) {
		c.trailers, c.trailersDone = &b.RecvTrailingMetadata, b.RecvTrailingMetadata.Ready
		b.RecvTrailingMetadata.Ready = (*onTrailers)(c)
	}
}

// onHeaders is a server's call as the callback of recv_initial_metadata.
type onHeaders call

func (c *onHeaders) Run(err error) {
	c.path, c.deadline = c.headers.MD.Path, c.headers.MD.Deadline
	c.headersDone.Run(err)
}

// onMessage is a call as the callback of recv_message.
type onMessage call

func (c *onMessage) Run(err error) {
	if m := c.message.Message; m != nil {
		c.received += m.Len()
	}
	c.messageDone.Run(err)
}

// onTrailers is a call as the callback of recv_trailing_metadata.
type onTrailers call

func (c *onTrailers) Run(err error) {
	(*call)(c).log((*call)(c).code(err))
	c.trailersDone.Run(err)
}

// code returns the status with which the call ended, as the application learns it.
func (c *call) code(err error) status.Code {
	switch a := c.answered.Load(); {
	case err != nil:
		return transport.OutcomeOf(err, c.deadline).Code
	case c.args.Accepted == nil && c.trailers.MD.HasStatus:
		return status.Code(c.trailers.MD.Status)
	case c.args.Accepted == nil:
		return status.Unknown // the server forgot its grpc-status
	case a == nil || a.sent != nil && !a.sent.Load():
		return status.Canceled // the client was gone before it had the status
	default:
		return a.code
	}
}

// maxPath bounds what a line has of a method.
const maxPath = 256

// log writes the line. Five attributes are as many as a record holds without an
// allocation.
func (c *call) log(code status.Code) {
	path := c.path
	if len(path) > maxPath {
		path = path[:maxPath] + "…"
	}
	c.ch.logger.LogAttrs(context.Background(), c.level, "call",
		slog.String("method", path),
		slog.String("code", code.String()),
		slog.Duration("duration", time.Since(c.begun)),
		slog.Int64("sent", c.sent.Load()),
		slog.Int("received", c.received))
}
