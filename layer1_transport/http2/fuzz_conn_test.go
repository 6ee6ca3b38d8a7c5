package http2

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A connCall is one call on a real connection, of either role: it reads to the
// end, answers if it is a server's, and counts its callbacks.
type connCall struct {
	st       transport.Stream
	server   bool
	refs     atomic.Int32
	owed     atomic.Int32
	ends     atomic.Int32 // of recv_trailing_metadata
	md       [4]metadata.List
	header   transport.StreamOpBatch
	message  transport.StreamOpBatch
	sends    transport.StreamOpBatch
	answered bool
}

func (c *connCall) Ref()   { c.refs.Add(1) }
func (c *connCall) Unref() { c.refs.Add(-1) }

// The callbacks of a connCall.
type (
	connHeaders  connCall
	connMessage  connCall
	connSent     connCall
	connTrailers connCall
)

func (c *connHeaders) Run(error)  { c.owed.Add(-1) }
func (c *connSent) Run(error)     { c.owed.Add(-1) }
func (c *connTrailers) Run(error) { c.owed.Add(-1); c.ends.Add(1) }

func (c *connMessage) Run(err error) {
	c.owed.Add(-1)
	m := c.message.RecvMessage.Message
	if m != nil {
		m.Release()
		(*connCall)(c).read()
		return
	}
	if c.server && err == nil && !c.answered {
		c.answered = true
		(*connCall)(c).answer()
	}
}

// begin starts to listen, and on a client to send.
func (c *connCall) begin(t transport.Transport, accepted transport.Accepted) {
	c.server = accepted != nil
	c.st = t.NewStream()
	c.st.Init(c, accepted)
	c.owed.Add(2)
	c.header = transport.StreamOpBatch{Ops: transport.OpRecvInitialMetadata | transport.OpRecvTrailingMetadata,
		RecvInitialMetadata:  transport.RecvInitialMetadata{MD: &c.md[0], Ready: (*connHeaders)(c)},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: &c.md[1], Ready: (*connTrailers)(c)}}
	c.st.PerformBatch(&c.header)
	if !c.server {
		c.md[2].Known = metadata.Known{Method: "POST", Scheme: "http", Path: "/s/m"}
		c.send(5)
	}
	c.read()
}

func (c *connCall) read() {
	c.owed.Add(1)
	c.message = transport.StreamOpBatch{Ops: transport.OpRecvMessage, RecvMessage: transport.RecvMessage{Limit: 1 << 16, Ready: (*connMessage)(c)}}
	c.st.PerformBatch(&c.message)
}

func (c *connCall) answer() {
	c.md[2].Known = metadata.Known{HTTPStatus: "200"}
	c.md[3].SetStatus(0, "")
	c.send(100_000)
}

// send sends headers, a message of n bytes, and the end.
func (c *connCall) send(n int) {
	c.owed.Add(1)
	c.sends = transport.StreamOpBatch{Ops: transport.OpsSend, OnComplete: (*connSent)(c),
		SendInitialMetadata:  transport.SendInitialMetadata{MD: &c.md[2]},
		SendMessage:          transport.SendMessage{Buf: transport.WrapBuffer(zeros[:n])},
		SendTrailingMetadata: transport.SendTrailingMetadata{MD: &c.md[3]}}
	c.st.PerformBatch(&c.sends)
}

// A connCalls accepts every call, except each fourth.
type connCalls struct{ all []*connCall }

func (a *connCalls) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	if len(a.all)%4 == 3 {
		a.all = append(a.all, nil)
		return
	}
	c := &connCall{}
	a.all = append(a.all, c)
	c.begin(t, accepted)
}

// The bits of FuzzConn's first argument.
const (
	connAsClient  = 1 << iota // the connection under test is a client
	connNoPreface             // the wire begins as it likes
	connOneByte               // reads and writes carry single bytes
	connSlow                  // the peer pauses for five seconds between writes
	connDeaf                  // and reads nothing
	connCut                   // and closes at the end, instead of waiting
)

// FuzzConn feeds a whole connection, goroutines and timers included, whatever a
// peer may send, in pieces of any length. However that ends, each call ends
// once, every operation does, and nothing is left: no reference, no goroutine,
// for which the bubble sees to it.
func FuzzConn(f *testing.F) {
	s := &script{t: &testing.T{}, calls: map[string]*scriptCall{}}
	s.begin("server", nil)
	line := func(kind string, words ...string) []byte { return s.frame(kind, parseArgs(words)) }
	settings := frame.AppendSettings(nil)
	request := join(line("HEADERS", "stream=1", ":method=POST", ":scheme=http", ":path=/s/m"), line("DATA", "stream=1", "message=9", "END_STREAM"))
	second := join(line("HEADERS", "stream=3", ":method=POST", ":scheme=http", ":path=/s/m"), line("DATA", "stream=3", "prefix=70000"))
	s.encBuf.Reset()
	s.begin("server", nil)
	response := join(line("HEADERS", "stream=1", ":status=200"), line("DATA", "stream=1", "message=9"), line("HEADERS", "stream=1", "END_STREAM", "grpc-status=0"))
	credit := join(frame.AppendWindowUpdate(nil, 0, 1<<20), frame.AppendWindowUpdate(nil, 1, 1<<20))
	f.Add(byte(0), join(settings, request, credit), []byte{200, 1, 40})
	f.Add(byte(connCut), join(settings, request, second), []byte{9, 9, 9, 9, 9, 9})
	f.Add(byte(connAsClient), join(settings, response), []byte{3, 90})
	f.Add(byte(connAsClient|connSlow), join(settings, response[:40]), []byte{20, 20, 20})
	f.Add(byte(connAsClient|connCut), join(settings, frame.AppendGoAway(nil, 1, 0, "bye"), response), []byte{})
	f.Add(byte(connNoPreface), []byte("GET / HTTP/1.1\r\n\r\n"), []byte{1, 2})
	f.Add(byte(connAsClient|connNoPreface), []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), []byte{4})
	f.Add(byte(connDeaf), join(settings, request), []byte{})
	f.Add(byte(connOneByte), join(settings, request, frame.AppendHeader(nil, 9, frame.TypeHeaders, 0, 3), second[9:18]), []byte{7})
	f.Fuzz(func(t *testing.T, how byte, wire, cuts []byte) {
		if len(wire) > 4<<10 || how&connOneByte != 0 && len(wire) > 512 {
			return
		}
		synctest.Test(t, func(t *testing.T) { runConn(t, how, wire, cuts) })
	})
}

func runConn(t *testing.T, how byte, wire, cuts []byte) {
	ours, theirs := memconn.PipeSize(4 << 10)
	if how&connOneByte != 0 {
		ours = memconn.OneByte(ours)
	}
	if how&connDeaf == 0 {
		go io.Copy(io.Discard, theirs)
	}
	if how&(connAsClient|connNoPreface) == 0 {
		wire = append([]byte(frame.ClientPreface), wire...)
	}
	var fed sync.WaitGroup
	fed.Go(func() { feed(theirs, how, wire, cuts) })
	defer fed.Wait() // while it sleeps, the bubble must live
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	calls := &connCalls{}
	var tr transport.Transport
	var err error
	if how&connAsClient != 0 {
		if tr, err = Connect(ctx, ours, nil, Config{}); err == nil {
			for range 3 {
				c := &connCall{}
				calls.all = append(calls.all, c)
				c.begin(tr, nil)
			}
		}
	} else if tr, err = Accept(ctx, ours, nil, Config{MaxStreams: 5}); err == nil {
		tr.PerformOp(&transport.Op{Accept: calls})
	}
	if err != nil {
		if status.CodeOf(err) != status.Unavailable && ctx.Err() == nil {
			t.Fatalf("the handshake failed with %v", err)
		}
		theirs.Close()
		return
	}
	time.Sleep(time.Minute)
	tr.Close()
	theirs.Close()
	for i, c := range calls.all {
		if c != nil && (c.owed.Load() != 0 || c.refs.Load() != 0 || c.ends.Load() != 1) {
			t.Fatalf("call %d: %d callbacks are owed, %d references are left, it ended %d times", i, c.owed.Load(), c.refs.Load(), c.ends.Load())
		}
	}
}

// feed is the peer: it writes the wire in pieces.
func feed(nc net.Conn, how byte, wire, cuts []byte) {
	for len(wire) > 0 {
		n := len(wire)
		if len(cuts) > 0 {
			n, cuts = min(n, int(cuts[0])+1), cuts[1:]
		}
		if _, err := nc.Write(wire[:n]); err != nil {
			return
		}
		wire = wire[n:]
		if how&connSlow != 0 {
			time.Sleep(5 * time.Second)
		}
	}
	if how&connCut != 0 {
		nc.Close()
	}
}
