package calllog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

func TestContract(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
			t.Run(name+" "+level.String(), func(t *testing.T) {
				callstacktest.Run(t, side, calllog.New(calllog.Config{Logger: slog.New(slog.DiscardHandler), Level: level}))
			})
		}
	}
}

// logTo returns a logger of lines without their time, from level info on.
func logTo(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// begin begins a call of that side through the filter. The peer does nothing yet.
func begin(t *testing.T, cfg calllog.Config, side callstacktest.Side) (*callstacktest.Call, *callstacktest.Stream) {
	t.Helper()
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, calllog.New(cfg)))
	if err := c.Begin(side.Args()); err != nil {
		t.Fatal(err)
	}
	return c, tr.Streams()[0]
}

// message has the text sent.
func message(text string) func(b *callstacktest.Batch) {
	return func(b *callstacktest.Batch) {
		b.SendMessage.Buf.Release()
		b.SendMessage.Buf = transport.WrapBuffer([]byte(text))
	}
}

// trailers are a server's status in a batch; sent is whether they go out.
func trailers(code status.Code, sent bool) func(b *callstacktest.Batch) {
	return func(b *callstacktest.Batch) {
		b.SendTrailers.SetStatus(uint32(code), "secret")
		b.SendTrailingMetadata.Sent = new(atomic.Bool)
		b.SendTrailingMetadata.Sent.Store(sent)
	}
}

// TestLines has calls of all kinds and the lines that they leave.
func TestLines(t *testing.T) {
	lost := &transport.Error{Code: status.Unavailable, Layer: "fake", Reason: "secret"}
	for _, tc := range []struct {
		name string
		side callstacktest.Side
		call func(c *callstacktest.Call, st *callstacktest.Stream) // 3 s after Init
		want string
	}{
		{"a client's call", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			b := c.Do(transport.OpsSend|transport.OpsRecv, message("12345"), func(b *callstacktest.Batch) {
				b.SendHeaders.Append("authorization", "secret")
			})
			st.Headers(callstacktest.Client.FillHeaders, nil)
			st.Message(transport.WrapBuffer([]byte("123")), nil)
			st.Trailers(callstacktest.Client.FillTrailers, nil)
			b.RecvMessage.Message.Release()
		}, "method=/service/method code=OK duration=3s sent=5 received=3"},
		{"a client's call with many messages", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvTrailingMetadata)
			for range 10 {
				c.Do(transport.OpSendMessage, message("12345"))
				b := c.Do(transport.OpRecvMessage)
				st.Message(transport.WrapBuffer([]byte("123")), nil)
				b.RecvMessage.Message.Release()
			}
			st.Trailers(func(md *metadata.List) { md.SetStatus(uint32(status.NotFound), "secret") }, nil)
		}, "method=/service/method code=NotFound duration=3s sent=50 received=30"},
		{"a server that forgets its status", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvTrailingMetadata)
			st.Trailers(nil, nil)
		}, "method=/service/method code=Unknown duration=3s sent=0 received=0"},
		{"a lost connection", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpsRecv)
			st.Trailers(nil, lost)
		}, "method=/service/method code=Unavailable duration=3s sent=0 received=0"},
		{"a cancelled call", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpsRecv)
			c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
		}, "method=/service/method code=Canceled duration=3s sent=0 received=0"},
		{"a call whose end nobody asks for", callstacktest.Client, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata)
			st.Headers(nil, nil)
		}, ""},
		{"a server's call", callstacktest.Server, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
			st.Headers(callstacktest.Server.FillHeaders, nil)
			b := c.Do(transport.OpRecvMessage)
			st.Message(transport.WrapBuffer([]byte("123")), nil)
			b.RecvMessage.Message.Release()
			c.Do(transport.OpsSend, message("12345"), trailers(status.AlreadyExists, true))
			st.Trailers(nil, nil)
		}, "method=/service/method code=AlreadyExists duration=3s sent=5 received=3"},
		{"a client that goes before it has the status", callstacktest.Server, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
			st.Headers(callstacktest.Server.FillHeaders, nil)
			c.Do(transport.OpSendTrailingMetadata, trailers(status.OK, false))
			st.Trailers(nil, nil)
		}, "method=/service/method code=Canceled duration=3s sent=0 received=0"},
		{"a server that sends nothing", callstacktest.Server, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
			st.Headers(callstacktest.Server.FillHeaders, nil)
			st.Trailers(nil, nil)
		}, "method=/service/method code=Canceled duration=3s sent=0 received=0"},
		{"headers that a filter refuses", callstacktest.Server, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
			st.Trailers(nil, lost)
		}, `method="" code=Unavailable duration=3s sent=0 received=0`},
		{"a method of a client that wants to fill the disk", callstacktest.Server, func(c *callstacktest.Call, st *callstacktest.Stream) {
			c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
			st.Headers(func(rim *transport.RecvInitialMetadata) { rim.MD.Path = strings.Repeat("a", 8000) }, nil)
			st.Trailers(nil, lost)
		}, "method=" + strings.Repeat("a", 256) + "… code=Unavailable duration=3s sent=0 received=0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				c, st := begin(t, calllog.Config{Logger: logTo(&out), Level: slog.LevelWarn}, tc.side)
				for range 2 { // the second call knows nothing of the first
					out.Reset()
					time.Sleep(3 * time.Second)
					tc.call(c, st)
					want := ""
					if tc.want != "" {
						want = "level=WARN msg=call " + tc.want + "\n"
					}
					if got := out.String(); got != want {
						t.Errorf("logged\n%swant\n%s", got, want)
					}
					c.Unref()
					if err := c.Begin(tc.side.Args()); err != nil {
						t.Fatal(err)
					}
				}
				c.Unref()
			})
		})
	}
}

// TestNoAnswerOfAnotherCall: a call that is not answered has not the status of the
// one that was in its block before.
func TestNoAnswerOfAnotherCall(t *testing.T) {
	var out bytes.Buffer
	c, st := begin(t, calllog.Config{Logger: logTo(&out), Level: slog.LevelInfo}, callstacktest.Server)
	for use, want := range []string{"code=OK", "code=Canceled"} {
		out.Reset()
		c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		st.Headers(callstacktest.Server.FillHeaders, nil)
		if use == 0 {
			c.Do(transport.OpSendTrailingMetadata, trailers(status.OK, true))
		}
		st.Trailers(nil, nil)
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("call %d is logged as %swant %s", use+1, got, want)
		}
		c.Unref()
		if err := c.Begin(callstacktest.Server.Args()); err != nil {
			t.Fatal(err)
		}
	}
	c.Unref()
}

// TestLineBeforeTheEnd: the line is there when the application learns of the end.
func TestLineBeforeTheEnd(t *testing.T) {
	var out bytes.Buffer
	c, st := begin(t, calllog.Config{Logger: logTo(&out), Level: slog.LevelInfo}, callstacktest.Client)
	defer c.Unref()
	var before string
	c.Do(transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
		b.RecvTrailingMetadata.Ready = onEnd(func() { before = out.String() })
	})
	st.Trailers(nil, errors.New("any"))
	if !strings.Contains(before, "code=Unknown") {
		t.Errorf("at the end of the call there is %q", before)
	}
}

type onEnd func()

func (f onEnd) Run(error) { f() }

// TestLevels: what nobody wants to read is not looked at, and the zero Config
// writes to the channel's logger at level debug.
func TestLevels(t *testing.T) {
	var out bytes.Buffer
	debug := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	variable := new(slog.LevelVar)
	for _, tc := range []struct {
		name    string
		cfg     calllog.Config
		channel *slog.Logger
		want    string
	}{
		{"the zero value at level debug", calllog.Config{}, debug, "level=DEBUG"},
		{"the zero value at level info", calllog.Config{}, logTo(&out), ""},
		{"a logger of its own", calllog.Config{Logger: debug}, logTo(new(bytes.Buffer)), "level=DEBUG"},
		{"a level that changes", calllog.Config{Level: variable}, debug, "level=ERROR"},
		{"a level that is too low", calllog.Config{Level: slog.LevelDebug - 1}, debug, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out.Reset()
			tr := &callstacktest.Transport{}
			b := callstack.NewBuilder("TEST")
			b.Add(calllog.New(tc.cfg))
			b.Add(connected.New()).Terminal()
			s, err := b.Build(callstack.ChannelArgs{Transport: tr, Logger: tc.channel})
			if err != nil {
				t.Fatal(err)
			}
			variable.Set(slog.LevelError)
			if err := callstacktest.NewUnary(tr, s, callstacktest.Client).Run(); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if lines := strings.Count(got, "\n"); (tc.want == "") != (lines == 0) || lines > 1 || !strings.Contains(got, tc.want) {
				t.Errorf("logged %q, want a line with %q", got, tc.want)
			}
		})
	}
}

// TestConfigIsChecked: a level that cannot be asked is found before there is a call.
func TestConfigIsChecked(t *testing.T) {
	for _, level := range []slog.Leveler{nil, slog.LevelInfo, new(slog.LevelVar)} {
		if err := (calllog.Config{Level: level}).Validate(); err != nil {
			t.Errorf("Level %v: %v", level, err)
		}
	}
	b := callstack.NewBuilder("TEST")
	b.Add(calllog.New(calllog.Config{Level: (*slog.LevelVar)(nil)})).Terminal()
	const want = `callstack: TEST: filter "call_log": option Level cannot be used: a nil *slog.LevelVar panicked in Level: ` +
		"runtime error: invalid memory address or nil pointer dereference"
	if err := b.Check(callstack.ChannelArgs{}); err == nil || err.Error() != want {
		t.Errorf("Check = %v, want %s", err, want)
	}
}

// TestSendRacesEnd has an application that sends and cancels while the call ends.
// There is one line for each call, whoever is first.
func TestSendRacesEnd(t *testing.T) {
	var out bytes.Buffer
	c, st := begin(t, calllog.Config{Logger: logTo(&out), Level: slog.LevelInfo}, callstacktest.Server)
	for use := 1; use <= 200; use++ {
		end := c.Do(transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata)
		var wg sync.WaitGroup
		wg.Go(func() { c.Do(transport.OpSendInitialMetadata|transport.OpSendMessage, message("12345")) })
		wg.Go(func() { c.Do(transport.OpSendTrailingMetadata, trailers(status.OK, true)) })
		wg.Go(func() { st.Headers(callstacktest.Server.FillHeaders, nil) })
		if use%2 == 0 {
			wg.Go(func() {
				c.Do(transport.OpCancelStream, func(b *callstacktest.Batch) { b.CancelErr = context.Canceled })
			})
		} else {
			wg.Go(func() { st.Trailers(nil, nil) })
		}
		wg.Wait()
		st.Trailers(nil, nil)
		c.Unref()
		if n := end.GotTrailers.Count(); n != 1 || c.Recycled() != use || strings.Count(out.String(), "\n") != use {
			t.Fatalf("call %d: %d ends, %d recycled and %d lines", use, n, c.Recycled(), strings.Count(out.String(), "\n"))
		}
		if err := c.Begin(callstacktest.Server.Args()); err != nil {
			t.Fatal(err)
		}
	}
	c.Unref()
}
