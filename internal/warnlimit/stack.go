package warnlimit

import (
	"context"
	"log/slog"
	"runtime/debug"
)

// WithStack returns a handler that adds the stack of who logs to each record. It is
// for the next of [New]: there it is taken only for what is written, at once and on
// the goroutine at fault. Taken with the arguments of each warning it is 5 µs, and
// more the deeper it is; BenchmarkFaultLog of package callstack.
func WithStack(next slog.Handler) slog.Handler { return withStack{next} }

type withStack struct{ slog.Handler }

func (h withStack) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(slog.String("stack", string(debug.Stack())))
	return h.Handler.Handle(ctx, r)
}

func (h withStack) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withStack{h.Handler.WithAttrs(attrs)}
}

func (h withStack) WithGroup(name string) slog.Handler {
	return withStack{h.Handler.WithGroup(name)}
}
