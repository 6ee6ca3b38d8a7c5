package surface

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A badFilter does wrong what a test wants, in the calls that begin while it is bad.
type badFilter struct {
	init  func()
	batch func(next callstack.CallElem, b *transport.StreamOpBatch)
	bad   atomic.Bool
}

func (*badFilter) Name() string { return "bad" }

func (f *badFilter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &badChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type badChannel struct {
	callstack.ChannelBase
	f *badFilter
}

func (ch *badChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &badCall{CallBase: callstack.CallBase{Next: next}, f: ch.f}
}

type badCall struct {
	callstack.CallBase
	f   *badFilter
	bad bool
}

func (c *badCall) Init(*callstack.CallArgs) error {
	if c.bad = c.f.bad.Load(); c.bad && c.f.init != nil {
		c.f.init()
	}
	return nil
}

func (c *badCall) StartBatch(b *transport.StreamOpBatch) {
	if c.bad && c.f.batch != nil {
		c.f.batch(c.Next, b)
		return
	}
	c.Next.StartBatch(b)
}

// doneFunc is a function as a callback.
type doneFunc func(err error)

func (f doneFunc) Run(err error) { f(err) }

// badWays are what a filter does wrong, and how the call ends for the client: if
// the filter is a client's, and if it is the server's.
var badWays = []struct {
	name           string
	filter         func(f *badFilter)
	client, server string // of the filter's fault

	// Beside INTERNAL, with a server's filter: the client may be told before of
	// what it does not notice later.
	ends []status.Code
}{
	{name: "it panics as the call begins", filter: func(f *badFilter) { f.init = func() { panic("boom") } },
		client: "panicked in Init: boom", server: "panicked in Init"},
	{name: "it panics at a batch", filter: func(f *badFilter) {
		f.batch = func(callstack.CallElem, *transport.StreamOpBatch) { panic("boom") }
	}, client: "panicked in StartBatch: boom", server: "panicked in StartBatch"},
	{name: "it panics at the headers", filter: func(f *badFilter) {
		f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
			b.RecvInitialMetadata.Ready = doneFunc(func(error) { panic("boom") })
			next.StartBatch(b)
		}
	}, client: "panicked in a callback of recv_initial_metadata: boom", server: "panicked in a callback of recv_initial_metadata"},
	{name: "it passes on twice", filter: func(f *badFilter) {
		f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
			if end := *b; end.Ops.Has(transport.OpRecvTrailingMetadata) {
				end.Ops, end.OnComplete = transport.OpRecvTrailingMetadata, nil
				next.StartBatch(&end)
			}
			next.StartBatch(b)
		}
	}, client: "passed on ", server: "passed on "},
	{name: "it completes a message twice", filter: func(f *badFilter) {
		f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
			ready := b.RecvMessage.Ready
			b.RecvMessage.Ready = doneFunc(func(err error) { ready.Run(err); ready.Run(err) })
			next.StartBatch(b)
		}
	}, client: "completed recv_message twice", server: "completed recv_message twice", ends: []status.Code{status.OK}},
	{name: "it keeps messages", filter: func(f *badFilter) {
		f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
			if b.Ops &^= transport.OpRecvMessage; b.Ops != 0 {
				next.StartBatch(b)
			}
		}
	}, client: "kept recv_message after the call was cancelled", server: "kept recv_message after the ", ends: []status.Code{status.DeadlineExceeded}},
	{name: "it lets cancels drop", filter: func(f *badFilter) {
		f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
			if b.Ops &^= transport.OpCancelStream | transport.OpRecvMessage; b.Ops != 0 {
				next.StartBatch(b)
			}
		}
	}, client: "did not pass on cancel_stream", server: "", ends: []status.Code{status.DeadlineExceeded}},
}

// badLinks are the ways from a channel to a server, and the places for a filter.
var badLinks = []struct {
	name string
	http bool
	at   func(f *badFilter) (ChannelOption, ServerOption)
}{
	{"channel filter over http2", true, func(f *badFilter) (ChannelOption, ServerOption) {
		return WithChannelFilter(stacks.Extra{Filter: f}), nil
	}},
	{"connection filter over http2", true, func(f *badFilter) (ChannelOption, ServerOption) {
		return WithFilter(stacks.Extra{Filter: f, After: []string{"authority"}}), nil
	}},
	{"server filter over http2", true, func(f *badFilter) (ChannelOption, ServerOption) {
		return nil, WithFilter(stacks.Extra{Filter: f, Before: []string{"message_size"}})
	}},
	{"channel filter in the process", false, func(f *badFilter) (ChannelOption, ServerOption) {
		return WithChannelFilter(stacks.Extra{Filter: f}), nil
	}},
	{"connection filter in the process", false, func(f *badFilter) (ChannelOption, ServerOption) {
		return WithFilter(stacks.Extra{Filter: f, After: []string{"authority"}}), nil
	}},
	{"server filter in the process", false, func(f *badFilter) (ChannelOption, ServerOption) {
		return nil, WithFilter(stacks.Extra{Filter: f, Before: []string{"message_size"}})
	}},
}

// TestContainedFilter: what a filter does wrong ends the call at hand, with its
// name; a call beside it, the next call and the connection do not notice.
func TestContainedFilter(t *testing.T) {
	for _, link := range badLinks {
		for _, way := range badWays {
			t.Run(link.name+"/"+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &badFilter{}
					way.filter(f)
					atClient, atServer := link.at(f)
					want, codes := way.client, []status.Code{status.Internal}
					if atServer != nil {
						want, codes = way.server, append(codes, way.ends...)
					}
					ch, dials, log := badChannelTo(t, link.http, atClient, atServer)
					beside := newBeside(t, ch)
					f.bad.Store(true)
					st := badEcho(t, ch)
					f.bad.Store(false)
					if !slices.Contains(codes, st.Code) || st.Code == status.Internal && !strings.Contains(st.Message, `filter "bad" `+want) {
						t.Errorf("the call ended with %v %q, want one of %v and %q", st.Code, st.Message, codes, want)
					}
					beside.finish()
					if st, body := echo(t, ch, CallParams{}, "next"); st.Code != status.OK || body != "next" {
						t.Errorf("the next call ended with %v %q and %q", st.Code, st.Message, body)
					}
					if n := dials.Load(); n != 1 {
						t.Errorf("%d connections were made", n)
					}
					time.Sleep(10 * time.Second) // a server may notice later than its client
					ch.Close()
					synctest.Wait()
					if got := log.String(); !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), `filter "bad" `+want) || strings.Count(got, "level=WARN") != 1 {
						t.Errorf("the log has %q, want one warning with %q", got, want)
					}
				})
			})
		}
	}
}

// badChannelTo returns a channel to an echo server, how many connections it made,
// and the log of both.
func badChannelTo(t *testing.T, http bool, co ChannelOption, so ServerOption) (*Channel, *atomic.Int32, *bytes.Buffer) {
	log, dials := new(bytes.Buffer), new(atomic.Int32)
	logger := WithLogger(slog.New(slog.NewTextHandler(log, nil)))
	var atClient []ChannelOption
	atServer := []ServerOption{logger}
	if co != nil {
		atClient = append(atClient, co)
	}
	if so != nil {
		atServer = append(atServer, so)
	}
	e := newEchoServer(t, atServer...)
	t.Cleanup(e.server.Close)
	if http {
		lis := memconn.Listen()
		go e.server.Serve(lis)
		ch, err := NewChannel("passthrough:///echo.example:443", append(atClient, logger, WithCredentials(credentials.NewInsecure()),
			WithDialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
				dials.Add(1)
				return lis.Dial(ctx)
			}))...)
		if err != nil {
			t.Fatal(err)
		}
		return ch, dials, log
	}
	client, server := inproc.Pair(inproc.Config{})
	if err := e.server.ServeTransport(server); err != nil {
		t.Fatal(err)
	}
	dials.Add(1)
	ch, err := NewDirectChannel(client, append(atClient, logger)...)
	if err != nil {
		t.Fatal(err)
	}
	return ch, dials, log
}

// badEcho makes a unary call of 5 s, in one batch.
func badEcho(t *testing.T, ch *Channel) CallStatus {
	t.Helper()
	c, err := ch.CreateCall(CallParams{Method: "/echo/Echo", Deadline: time.Now().Add(5 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var st clientState
	ops := []Op{opSendHeaders(), opSend("bad"), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}
	if e := c.StartBatch(ops, "unary"); e != CallOK {
		t.Fatal(e)
	}
	c.Pluck("unary", nil)
	text(st.message)
	return st.status
}

// A besideCall is under way while another one goes wrong.
type besideCall struct {
	t  *testing.T
	c  Call
	st clientState
}

func newBeside(t *testing.T, ch *Channel) *besideCall {
	b := &besideCall{t: t}
	var err error
	if b.c, err = ch.CreateCall(CallParams{Method: "/echo/Echo"}); err != nil {
		t.Fatal(err)
	}
	if e := b.c.StartBatch([]Op{opSendHeaders(), b.st.opHeaders(), b.st.opMessage(), b.st.opStatus()}, "all"); e != CallOK {
		t.Fatal(e)
	}
	synctest.Wait()
	return b
}

// finish sends what the server waits for, and wants the answer.
func (b *besideCall) finish() {
	b.t.Helper()
	if e := b.c.StartBatch([]Op{opSend("beside"), opClose()}, "rest"); e != CallOK {
		b.t.Fatal(e)
	}
	b.c.Pluck("rest", nil)
	b.c.Pluck("all", nil)
	if body := text(b.st.message); b.st.status.Code != status.OK || body != "beside" {
		b.t.Errorf("the call beside ended with %v %q and %q", b.st.status.Code, b.st.status.Message, body)
	}
	b.c.Release()
}

// TestMemoryOfABrokenCall: what a filter has seen of a call in which it broke a rule
// is of no other call, wherever the filter stands: it may hold on to that.
func TestMemoryOfABrokenCall(t *testing.T) {
	for _, link := range badLinks {
		t.Run(link.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &badFilter{}
				f.bad.Store(true)
				var breaks atomic.Bool
				var mu sync.Mutex
				seen := map[*metadata.List]bool{} // of each, whether its call was broken; guarded by mu
				f.batch = func(next callstack.CallElem, b *transport.StreamOpBatch) {
					lists := []*metadata.List{b.RecvInitialMetadata.MD, b.RecvTrailingMetadata.MD, b.SendInitialMetadata.MD}
					mu.Lock()
					for _, md := range lists {
						if md != nil && seen[md] && !breaks.Load() {
							t.Error("a list of the broken call is in another one")
						}
						if md != nil {
							seen[md] = seen[md] || breaks.Load()
						}
					}
					mu.Unlock()
					if breaks.Load() {
						panic("boom")
					}
					next.StartBatch(b)
				}
				atClient, atServer := link.at(f)
				ch, _, _ := badChannelTo(t, link.http, atClient, atServer)
				breaks.Store(true)
				unlisted(t, ch)
				synctest.Wait()
				breaks.Store(false)
				for range 20 {
					unlisted(t, ch)
				}
				ch.Close()
			})
		})
	}
}

// unlisted makes a call that brings no lists of its own.
func unlisted(t *testing.T, ch *Channel) {
	t.Helper()
	c, err := ch.CreateCall(CallParams{Method: "/echo/Echo"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var st clientState
	ops := []Op{opSendHeaders(), opSend("some"), opClose(), {Type: RecvInitialMetadata}, st.opMessage(), {Type: RecvStatusOnClient, StatusResult: &st.status}}
	if e := c.StartBatch(ops, "unary"); e != CallOK {
		t.Fatal(e)
	}
	c.Pluck("unary", nil)
	text(st.message)
}

// A deafFilter passes on no operation of a connection.
type deafFilter struct{}

func (deafFilter) Name() string { return "deaf" }

func (deafFilter) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &deafChannel{callstack.ChannelBase{Next: next}}, nil
}

type deafChannel struct{ callstack.ChannelBase }

func (*deafChannel) StartTransportOp(*transport.Op) {}

func (*deafChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &callstack.CallBase{Next: next}
}

// TestDeafFilter: a filter that passes on no operation keeps no connection from
// beginning, and no channel or server from ending.
func TestDeafFilter(t *testing.T) {
	deaf := stacks.Extra{Filter: deafFilter{}}
	for _, tc := range []struct {
		name     string
		http     bool
		atClient ChannelOption
		atServer ServerOption
		want     string
	}{
		{"channel filter", true, WithChannelFilter(deaf), nil, "did not pass on StartWatch"},
		{"connection filter in the process", false, WithFilter(deaf), nil, "did not pass on "},
		{"server filter", true, nil, WithFilter(deaf), "did not pass on Accept StartWatch"},
		{"server filter in the process", false, nil, WithFilter(deaf), "did not pass on Accept StartWatch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch, _, log := badChannelTo(t, tc.http, tc.atClient, tc.atServer)
				if st, _ := echo(t, ch, CallParams{}, "x"); st.Code != status.OK {
					t.Errorf("the call ended with %v %q", st.Code, st.Message)
				}
				ch.Close()
				if got := log.String(); !strings.Contains(got, tc.want) {
					t.Errorf("the log has %q, want %q", got, tc.want)
				}
			})
		})
	}
}

// TestHeadersFailedByAFilter: a server's filter that fails the headers, and does not
// cancel the call as it should, does not let the client wait for its deadline.
func TestHeadersFailedByAFilter(t *testing.T) {
	refused := &transport.Error{Code: status.PermissionDenied, Layer: "bad", Reason: "not today"}
	fails := map[string]func(next callstack.CallElem, b *transport.StreamOpBatch){
		"on the way up": func(next callstack.CallElem, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpRecvInitialMetadata) {
				done := b.RecvInitialMetadata.Ready
				b.RecvInitialMetadata.Ready = doneFunc(func(error) { done.Run(refused) })
			}
			next.StartBatch(b)
		},
		"with its batch": func(next callstack.CallElem, b *transport.StreamOpBatch) {
			if b.Ops.Has(transport.OpRecvInitialMetadata) {
				b.Fail(refused)
				return
			}
			next.StartBatch(b)
		},
	}
	for name, batch := range fails {
		for _, http := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := &badFilter{batch: batch}
				f.bad.Store(true)
				ch, _, _ := badChannelTo(t, http, nil, WithFilter(stacks.Extra{Filter: f, Before: []string{"message_size"}}))
				start := time.Now()
				st := badEcho(t, ch)
				if wait := time.Since(start); st.Code != status.PermissionDenied || wait != 0 {
					t.Errorf("%s, over http2 %v: the call ended after %v with %v %q", name, http, wait, st.Code, st.Message)
				}
				ch.Close()
			})
		}
	}
}
