package http2

import (
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/keepalive"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// refuseAll accepts no call.
type refuseAll struct{}

func (refuseAll) AcceptStream(transport.Transport, transport.Accepted) {}

// accepted returns a server that a client has begun to speak to, and that
// client's end.
func accepted(t *testing.T, size int, acceptor transport.Acceptor, cfg Config) (*conn, net.Conn) {
	t.Helper()
	ours, theirs := memconn.PipeSize(size)
	go io.WriteString(theirs, frame.ClientPreface)
	tr, err := Accept(t.Context(), ours, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr.PerformOp(&transport.Op{Accept: acceptor})
	return tr.(*conn), theirs
}

// connected returns a client that has the SETTINGS of a server, and that
// server's end.
func connected(t *testing.T, size int, cfg Config) (*conn, net.Conn) {
	t.Helper()
	ours, theirs := memconn.PipeSize(size)
	go theirs.Write(frame.AppendSettings(nil))
	go io.CopyN(io.Discard, theirs, 100) // of the client's greeting, and no more
	tr, err := Connect(t.Context(), ours, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return tr.(*conn), theirs
}

// heap returns the bytes of live memory.
func heap() int {
	runtime.GC()
	runtime.GC() // what is in a sync.Pool goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestFloodsThatAreNotRead: attacks A2, A4, A5 and A6. A peer that asks for
// answers and reads none is not read any more, its answers cost at most 256
// KiB, and when it has taken nothing for ten seconds the connection ends. What
// remains of streams that were refused, see package early, comes to that.
func TestFloodsThatAreNotRead(t *testing.T) {
	const refused = defaultMaxStreams * 96
	for _, tc := range []struct {
		name   string
		n      int // makes more answers than may wait
		frames func(b []byte, id uint32) []byte
		more   int
	}{
		{"A4 PING", 20000, func(b []byte, _ uint32) []byte { return frame.AppendPing(b, false, [8]byte{}) }, 0},
		{"A2 HEADERS and RST_STREAM", 20000, func(b []byte, id uint32) []byte { return append(b, openAndReset(id)...) }, 0},
		{"A5 HEADERS that are malformed", 20000, func(b []byte, id uint32) []byte { return fields(b, id, 0, "connection", "x") }, 0},
		{"A6 SETTINGS", 20000, func(b []byte, _ uint32) []byte { return frame.AppendSettings(b) }, 0},
		{"HEADERS that are too long", 4000, func(b []byte, id uint32) []byte {
			return append(b, addIndexed(fields(nil, id, 0, ":method", "POST"), 130, 0x90)...)
		}, refused},
		{"HEADERS that gRPC finds fault with", 4000, func(b []byte, id uint32) []byte {
			return fields(b, id, 0, ":method", "POST", ":scheme", "http", ":path", "/a/b", "x-bin", "!")
		}, refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *conn
				var theirs net.Conn
				if cfg := (Config{FaultBurst: 1 << 30}); strings.Contains(tc.name, "PING") {
					c, theirs = connected(t, 4096, cfg) // a server counts PINGs
				} else {
					c, theirs = accepted(t, 4096, refuseAll{}, cfg)
				}
				defer theirs.Close()
				flood := frame.AppendSettings(nil)
				for i := range uint32(tc.n) {
					flood = tc.frames(flood, 1+2*i)
				}
				before := heap()
				wrote := make(chan error, 1)
				go func() {
					_, err := theirs.Write(flood)
					wrote <- err
				}()
				// Enough for a first batch that is written, one that is being
				// written, and a third that collects.
				if _, err := io.CopyN(io.Discard, theirs, maxPendingControl+4096); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				c.mu.Lock()
				answers := c.s.out.Answers()
				c.mu.Unlock()
				if answers > maxPendingControl+1<<10 {
					t.Errorf("%d bytes of answers wait, want few more than %d", answers, maxPendingControl)
				}
				if grown, most := heap()-before, 256<<10+tc.more; !raceDetector && grown > most {
					t.Errorf("%d KiB of memory for a peer that reads nothing, want at most %d", grown>>10, most>>10)
				}
				<-c.done
				// The write of which a part was taken, one more, and what the
				// peer has sent before it noticed.
				if took := time.Since(start); took > 2*writeStall+lingerTime {
					t.Errorf("the connection ended after %v", took)
				}
				c.Close()
				<-wrote
				runtime.KeepAlive(flood)
			})
		})
	}
}

// anyPings is the policy of a server that takes them all.
var anyPings = keepalive.EnforcementPolicy{MinTime: -1, PermitWithoutStream: true}

// pinged counts the answers to pings that an application asked for.
type pinged struct{ answered, failed atomic.Int32 }

func (p *pinged) Run(err error) {
	if err == nil {
		p.answered.Add(1)
	} else {
		p.failed.Add(1)
	}
}

// TestTwoThatStopReading: two endpoints that each ask for more answers than the
// other keeps both stop reading, and neither writes on. That ends, like every
// write that stalls.
func TestTwoThatStopReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.PipeSize(512)
		dialled := make(chan transport.Transport, 1)
		go func() {
			tr, err := Connect(t.Context(), ours, nil, Config{})
			if err != nil {
				t.Error(err)
			}
			dialled <- tr
		}()
		tr, err := Accept(t.Context(), theirs, nil, Config{Enforcement: anyPings})
		if err != nil {
			t.Fatal(err)
		}
		tr.PerformOp(&transport.Op{Accept: refuseAll{}})
		client, server := (<-dialled).(*conn), tr.(*conn)
		synctest.Wait()
		// All at once, so that nothing is answered meanwhile: the server asks
		// for answers to PING, the client for RST_STREAM.
		const questions = 3 * maxPendingControl / 13
		var p pinged
		start := time.Now()
		server.mu.Lock()
		for range questions {
			server.s.ping(&p)
		}
		server.release(writeNow)
		client.mu.Lock()
		client.s.ids.next += 2 * questions
		client.s.out.Append(func(b []byte) []byte {
			for i := range uint32(questions) {
				b = request(b, 1+2*i, 0)
			}
			return b
		})
		client.release(writeNow)
		<-client.done
		<-server.done
		if took := time.Since(start); took < writeStall || took > 2*writeStall+lingerTime {
			t.Errorf("it took %v to notice", took)
		}
		client.Close()
		server.Close()
		if n := p.answered.Load() + p.failed.Load(); n != questions || p.failed.Load() == 0 {
			t.Errorf("of %d pings %d were answered and %d failed", questions, p.answered.Load(), p.failed.Load())
		}
	})
}

// TestClientThatCancelsReadsOn: what a client's own calls send does not stop
// its reading, and memory does not grow with calls that are cancelled before
// they are written.
func TestClientThatCancelsReadsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := connected(t, 512, Config{})
		a := &attacker{}
		before := heap()
		for range 50000 {
			h := &attacked{a: a, st: c.NewStream().(*stream)}
			h.refs = 1
			h.st.Init(h, nil)
			h.st.PerformBatch(sendHeaders(h))
			h.st.PerformBatch(&transport.StreamOpBatch{Ops: transport.OpCancelStream, CancelErr: errClosed})
			h.Unref()
		}
		synctest.Wait()
		c.mu.Lock()
		waiting, answers := c.s.out.Len(), c.s.out.Answers()
		c.mu.Unlock()
		if waiting > highWater+1<<10 || answers > 100 {
			t.Errorf("%d bytes wait, %d of them answers", waiting, answers)
		}
		if grown := heap() - before; !raceDetector && grown > 4*highWater {
			t.Errorf("the heap grew by %d KiB", grown>>10)
		}
		// The client reads on.
		var p pinged
		c.PerformOp(&transport.Op{Ping: &transport.Ping{OnAck: &p}})
		if _, err := theirs.Write(frame.AppendPing(nil, true, [8]byte{7: 1})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.answered.Load() != 1 {
			t.Error("the client has not read an answer")
		}
		theirs.Close()
		c.Close()
	})
}
