package stubs

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
)

// What a stream and its context hold may be secrets: the methods below write
// their names instead, whatever prints them, for every verb. They touch nothing
// that changes, so that a stream may be printed at any time.

// String names the stream.
func (s *clientStream) String() string { return "stubs.ClientStream(" + s.method + ")" }

// Format writes String.
func (s *clientStream) Format(w fmt.State, _ rune) { writeName(w, s) }

// LogValue is String, for package slog.
func (s *clientStream) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String names the stream.
func (s *serverStream) String() string { return "stubs.ServerStream(" + s.ctx.method.path + ")" }

// Format writes String.
func (s *serverStream) Format(w fmt.State, _ rune) { writeName(w, s) }

// LogValue is String, for package slog.
func (s *serverStream) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String names the context.
func (c *handlerContext) String() string { return "stubs.handlerContext(" + c.method.path + ")" }

// Format writes String.
func (c *handlerContext) Format(w fmt.State, _ rune) { writeName(w, c) }

// LogValue is String, for package slog.
func (c *handlerContext) LogValue() slog.Value { return slog.StringValue(c.String()) }

// writeName writes v's name. Package fmt collects in memory and never fails.
func writeName(w fmt.State, v fmt.Stringer) { _, _ = io.WriteString(w, v.String()) }

// A ServerStreamingClient is a client's end of a call that is answered with
// many messages. Res is the type that the server sends.
type ServerStreamingClient[Res any] interface {
	// Recv returns the next message, io.EOF after the last one.
	Recv() (*Res, error)
	ClientStream
}

// A ServerStreamingServer is a server's end of such a call.
type ServerStreamingServer[Res any] interface {
	// Send sends a message.
	Send(*Res) error
	ServerStream
}

// A ClientStreamingClient is a client's end of a call that sends many messages
// and is answered with one.
type ClientStreamingClient[Req, Res any] interface {
	// Send sends a message. It is io.EOF when the call has ended.
	Send(*Req) error
	// CloseAndRecv says that no more messages come and returns the answer.
	CloseAndRecv() (*Res, error)
	ClientStream
}

// A ClientStreamingServer is a server's end of such a call.
type ClientStreamingServer[Req, Res any] interface {
	// Recv returns the next message, io.EOF after the last one.
	Recv() (*Req, error)
	// SendAndClose sends the answer. The handler returns after it.
	SendAndClose(*Res) error
	ServerStream
}

// A BidiStreamingClient is a client's end of a call on which both sides send
// many messages, in any order.
type BidiStreamingClient[Req, Res any] interface {
	// Send sends a message. It is io.EOF when the call has ended.
	Send(*Req) error
	// Recv returns the next message, io.EOF after the last one.
	Recv() (*Res, error)
	ClientStream
}

// A BidiStreamingServer is a server's end of such a call.
type BidiStreamingServer[Req, Res any] interface {
	// Recv returns the next message, io.EOF after the last one.
	Recv() (*Req, error)
	// Send sends a message.
	Send(*Res) error
	ServerStream
}

// A GenericClientStream gives a ClientStream the types of its messages. It is
// what generated code returns for all three kinds of streams.
type GenericClientStream[Req, Res any] struct{ ClientStream }

var (
	_ ServerStreamingClient[int]      = (*GenericClientStream[int, int])(nil)
	_ ClientStreamingClient[int, int] = (*GenericClientStream[int, int])(nil)
	_ BidiStreamingClient[int, int]   = (*GenericClientStream[int, int])(nil)
)

// Send sends m.
func (x *GenericClientStream[Req, Res]) Send(m *Req) error { return x.SendMsg(m) }

// Recv returns the next message, io.EOF after the last one.
func (x *GenericClientStream[Req, Res]) Recv() (*Res, error) {
	m := new(Res)
	if err := x.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

// CloseAndRecv says that no more messages come and returns the answer.
func (x *GenericClientStream[Req, Res]) CloseAndRecv() (*Res, error) {
	if err := x.CloseSend(); err != nil {
		return nil, err
	}
	return x.Recv()
}

// A GenericServerStream gives a ServerStream the types of its messages.
type GenericServerStream[Req, Res any] struct{ ServerStream }

var (
	_ ServerStreamingServer[int]      = (*GenericServerStream[int, int])(nil)
	_ ClientStreamingServer[int, int] = (*GenericServerStream[int, int])(nil)
	_ BidiStreamingServer[int, int]   = (*GenericServerStream[int, int])(nil)
)

// Send sends m.
func (x *GenericServerStream[Req, Res]) Send(m *Res) error { return x.SendMsg(m) }

// SendAndClose sends the answer.
func (x *GenericServerStream[Req, Res]) SendAndClose(m *Res) error { return x.SendMsg(m) }

// Recv returns the next message, io.EOF after the last one.
func (x *GenericServerStream[Req, Res]) Recv() (*Req, error) {
	m := new(Req)
	if err := x.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Messages iterates over the messages that a stream receives, on a client and
// on a server alike:
//
//	defer stream.Close()
//	for msg, err := range stubs.Messages(stream) {
//
// The iteration ends with the last message, or with an error in place of one.
// Leaving it early leaves the call open, and another iteration goes on where it
// was left.
func Messages[T any](stream interface{ Recv() (*T, error) }) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}
