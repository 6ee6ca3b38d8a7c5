package http2

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2/input"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A busy server has handlers that take 50 ms and look at nothing meanwhile, or
// with atOnce none that take any time.
type busy struct {
	atOnce                  bool
	running, most, accepted atomic.Int32
}

// A busyCall is referred to by its handler and by the transport.
type busyCall struct {
	st   transport.Stream
	refs atomic.Int32
}

func (c *busyCall) Ref() { c.refs.Add(1) }
func (c *busyCall) Unref() {
	if c.refs.Add(-1) == 0 {
		c.st.Reset()
	}
}

func (b *busy) AcceptStream(tr transport.Transport, in transport.Accepted) {
	c := &busyCall{st: tr.NewStream()}
	c.Ref()
	c.st.Init(c, in)
	b.accepted.Add(1)
	if b.atOnce {
		c.Unref()
		return
	}
	if n := b.running.Add(1); n > b.most.Load() { // only the reader gets here
		b.most.Store(n)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		b.running.Add(-1)
		c.Unref()
	}()
}

// TestRapidReset: attack A1, CVE-2023-44487. However fast a client opens and
// resets streams, no more handlers run than MaxStreams, and memory stays within
// 8 KiB for each. That holds without the pauses that slow the client down.
func TestRapidReset(t *testing.T) {
	const limit, rounds, burst = 100, 100, 200
	for _, cfg := range []Config{{MaxStreams: limit, RapidResets: 1 << 30}, {MaxStreams: limit}} {
		synctest.Test(t, func(t *testing.T) {
			b := &busy{}
			c, theirs := accepted(t, 64<<10, b, cfg)
			go io.Copy(io.Discard, theirs)
			first := frame.AppendSettings(nil)
			before := heap()
			id, sent := uint32(1), 0
			for range rounds {
				for range burst {
					first = append(first, openAndReset(id)...)
					id += 2
				}
				n, err := theirs.Write(first)
				if sent += n; err != nil {
					break
				}
				first = first[:0]
				time.Sleep(10 * time.Millisecond)
			}
			if grown := heap() - before; !raceDetector && grown > 8<<10*limit+256<<10 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			if most := b.most.Load(); most > limit {
				t.Errorf("%d handlers ran at once, the limit is %d", most, limit)
			}
			select {
			case <-c.done:
				t.Error("the connection has ended")
			default:
			}
			if n := b.accepted.Load(); n < 5*limit {
				t.Errorf("only %d calls were accepted", n)
			}
			theirs.Close()
			c.Close()
			time.Sleep(time.Second) // the last handlers return
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.s.slots.used != 0 {
				t.Errorf("%d slots are left", c.s.slots.used)
			}
		})
	}
}

// TestManySettings: attack A7, CVE-2020-11080.
func TestManySettings(t *testing.T) {
	settings := func(n int) []byte {
		set := make([]frame.Setting, n)
		for i := range set {
			set[i] = frame.Setting{ID: frame.SettingInitialWindowSize, Val: uint32(i)}
		}
		return frame.AppendSettings(nil, set...)
	}
	if err := newAttacker(t, server, Config{}).send(settings(maxSettings)); err != nil {
		t.Errorf("%d entries: %v", maxSettings, err)
	}
	wantCode(t, newAttacker(t, server, Config{}).send(settings(maxSettings+1)), frame.CodeEnhanceYourCalm)
	wantCode(t, newAttacker(t, server, Config{}).send(settings(2730)), frame.CodeEnhanceYourCalm)
}

// TestLimitBeforeAck: attack A10, CVE-2026-47244: MaxStreams holds from the
// first frame, whether or not the client has acknowledged it.
func TestLimitBeforeAck(t *testing.T) {
	a := newAttacker(t, server, Config{MaxStreams: 50})
	a.deaf = true
	if n, err := a.repeat(10000, 1, func(id uint32) []byte { return request(nil, id, 0) }); err != nil {
		t.Errorf("after %d requests: %v", n, err)
	}
	if a.most != 50 || a.sent[frame.TypeRSTStream] != 9950 {
		t.Errorf("%d handlers ran and %d streams were reset, want 50 and 9950", a.most, a.sent[frame.TypeRSTStream])
	}
}

// TestWindowUpdateFlood: attack A12. Credit that is not used adds up until it
// is too much.
func TestWindowUpdateFlood(t *testing.T) {
	a := newAttacker(t, server, Config{})
	n, err := a.repeat(1000, 0, func(uint32) []byte { return frame.AppendWindowUpdate(nil, 0, 1<<24) })
	wantCode(t, err, frame.CodeFlowControl)
	if want := (frame.MaxWindow - frame.DefaultWindow) / (1 << 24); n != want {
		t.Errorf("%d WINDOW_UPDATE frames were taken, want %d", n, want)
	}
}

// TestStreamIdentifiers: attack A14, CVE-2016-0150. RFC 9113 §5.1.1.
func TestStreamIdentifiers(t *testing.T) {
	for _, tc := range []struct {
		name string
		ids  []uint32
		ok   bool
	}{
		{"they grow", []uint32{1, 3, 5}, true},
		{"they may leave some out", []uint32{1, 9, 0x7fffffff}, true},
		{"one that was passed over is closed", []uint32{3, 1}, false},
		{"an even one is the server's", []uint32{2}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttacker(t, server, Config{})
			var err error
			for _, id := range tc.ids {
				if err == nil {
					err = a.send(request(nil, id, 0))
				}
			}
			if (err == nil) != tc.ok {
				t.Errorf("identifiers %v: %v", tc.ids, err)
			}
		})
	}
}

// TestDrainIsBounded: attack A15, CVE-2022-27664. A connection that is to end
// does end, whatever the peer does with it.
func TestDrainIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		most time.Duration
		peer func(nc net.Conn)
	}{
		{"the peer answers nothing and does not close", drainPingTime + lingerTime, func(net.Conn) {}},
		{"the peer sends nonsense", closeWriteTime, func(nc net.Conn) { nc.Write([]byte("\xff\xff\xff nonsense")) }},
		{"the peer breaks a rule", closeWriteTime, func(nc net.Conn) { nc.Write(rawWindowUpdate(nil, 0, 0)) }},
		{"the peer pings for ever", drainPingTime + lingerTime, func(nc net.Conn) {
			for range 600 {
				if _, err := nc.Write(frame.AppendPing(nil, true, [8]byte{1})); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond) //bars:allow sleep each case runs in a bubble
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, theirs := accepted(t, 64<<10, refuseAll{}, Config{})
				theirs.Write(frame.AppendSettings(nil))
				go io.Copy(io.Discard, theirs)
				synctest.Wait()
				start := time.Now()
				c.PerformOp(&transport.Op{Goaway: &transport.Goaway{Debug: "bye"}})
				var peer sync.WaitGroup
				peer.Go(func() { tc.peer(theirs) })
				<-c.done
				if took := time.Since(start); took > tc.most {
					t.Errorf("it took %v, want at most %v", took, tc.most)
				}
				c.Close()
				theirs.Close()
				peer.Wait()
			})
		})
	}
	t.Run("a client leaves a server that only says GOAWAY", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, theirs := connected(t, 64<<10, Config{})
			start := time.Now()
			theirs.Write(frame.AppendGoAway(nil, 0, frame.CodeNoError, "bye"))
			<-c.done
			if took := time.Since(start); took > lingerTime {
				t.Errorf("it took %v", took)
			}
			c.Close()
			theirs.Close()
		})
	})
}

// A halfConn can close its writing direction, as TCP can.
type halfConn struct{ net.Conn }

func (halfConn) CloseWrite() error { return nil }

// TestDrainWaitsForAReader: a server that has said all waits for a client that says
// by WINDOW_UPDATE that it still reads, or the kernel would answer the next one
// with a reset and drop what the client has not read.
func TestDrainWaitsForAReader(t *testing.T) {
	const gap = 500 * time.Millisecond
	for _, tc := range []struct {
		name   string
		grants int // WINDOW_UPDATEs, gap apart
		least  time.Duration
		most   time.Duration
	}{
		{"it does not read", 0, lingerTime, lingerTime},
		{"it reads for four seconds", 8, 8*gap + lingerTime, 8*gap + lingerTime},
		{"it reads for ever", 1000, lingerReading, lingerReading},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := memconn.PipeSize(64 << 10)
				go io.WriteString(theirs, frame.ClientPreface)
				tr, err := Accept(t.Context(), halfConn{ours}, nil, Config{})
				if err != nil {
					t.Fatal(err)
				}
				c := tr.(*conn)
				c.PerformOp(&transport.Op{Accept: refuseAll{}})
				theirs.Write(frame.AppendSettings(nil))
				go io.Copy(io.Discard, theirs)
				synctest.Wait()
				c.PerformOp(&transport.Op{Goaway: &transport.Goaway{Debug: "bye"}})
				time.Sleep(drainPingTime)
				start := time.Now()
				var peer sync.WaitGroup
				peer.Go(func() {
					for range tc.grants {
						time.Sleep(gap)
						if _, err := theirs.Write(rawWindowUpdate(nil, 0, 1)); err != nil {
							return
						}
					}
				})
				<-c.done
				if took := time.Since(start); took < tc.least || took > tc.most {
					t.Errorf("it was closed after %v, want %v to %v", took, tc.least, tc.most)
				}
				c.Close()
				theirs.Close()
				peer.Wait()
			})
		})
	}
}

// TestPushPromise: attack A16. RFC 9113 §8.4.
func TestPushPromise(t *testing.T) {
	push := append(frame.AppendHeader(nil, 4, frame.TypePushPromise, frame.FlagEndHeaders, 1), 0, 0, 0, 2)
	for _, r := range []role{client, server} {
		wantCode(t, newAttacker(t, r, Config{}).send(push), frame.CodeProtocol)
	}
}

// TestEveryTypeAndLength: attack A17, CVE-2026-27141. No frame of any type,
// flags, stream and length is more than an error, and one that is longer than
// allowed is refused before its payload is read.
func TestEveryTypeAndLength(t *testing.T) {
	payload := make([]byte, frame.MinMaxFrameSize)
	for typ := range 256 {
		for _, flags := range []frame.Flags{0, 0xff} {
			for _, id := range []uint32{0, 1, 0x7fffffff} {
				for _, n := range []int{0, 1, 4, 5, 8, 9, frame.MinMaxFrameSize} {
					for _, r := range []role{client, server} {
						a := newAttacker(t, r, Config{})
						err := a.send(append(frame.AppendHeader(nil, n, frame.Type(typ), flags, id), payload[:n]...))
						if e, ok := err.(*frame.Error); err != nil && (!ok || e.StreamID != 0) {
							t.Fatalf("type %#x, flags %#x, stream %d, length %d: %v", typ, flags, id, n, err)
						}
						if typ > 9 && err != nil {
							t.Errorf("an unknown frame of type %#x: %v", typ, err) // RFC 9113 §4.1
						}
					}
				}
			}
		}
	}
	ours, theirs := memconn.Pipe()
	theirs.Write(frame.AppendHeader(nil, frame.MinMaxFrameSize+1, 0x99, 0, 1))
	in := input.New(ours)
	if _, err := in.Read(nil); err != nil {
		t.Fatal(err)
	}
	_, _, err := in.Next()
	wantCode(t, err, frame.CodeFrameSize)
}

// cheap are frames that a peer may send without end: attacks A8, A11, A12 and
// A13. They cost no memory and less time than it takes to send them.
var cheap = []struct {
	name  string
	frame []byte
}{
	{"empty DATA", data(nil, 1, 0, "")},
	{"DATA on a stream that was reset", data(nil, 3, 0, "x")},
	{"PRIORITY", append(frame.AppendHeader(nil, 5, frame.TypePriority, 0, 7), 0, 0, 0, 0, 16)},
	{"WINDOW_UPDATE on a closed stream", frame.AppendWindowUpdate(nil, 3, 1)},
	{"RST_STREAM on a closed stream", frame.AppendRSTStream(nil, 3, frame.CodeCancel)},
	{"answer to no PING", frame.AppendPing(nil, true, [8]byte{1})},
	{"unknown", append(frame.AppendHeader(nil, 16, 0x99, 0xff, 1), make([]byte, 16)...)},
}

// newCheap is a session with stream 1 open and 3 refused.
func newCheap(t testing.TB) *attacker {
	a := newAttacker(t, server, Config{MaxStreams: 1})
	a.deaf = true
	for id := uint32(1); id <= 3; id += 2 {
		if err := a.send(request(nil, id, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestAllocsCheapFrames(t *testing.T) {
	for _, tc := range cheap {
		a := newCheap(t)
		h := frame.ParseHeader(tc.frame)
		if n := testing.AllocsPerRun(10000, func() {
			if err := a.s.step(h, tc.frame[frame.HeaderLen:]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a frame, want 0", tc.name, n)
		}
		if unread := a.s.flow.unread; unread != 0 {
			t.Errorf("%s: %d bytes are kept", tc.name, unread)
		}
	}
}

// BenchmarkCheapFrames is what such a frame costs, which is to be at most 60 ns
// on a machine that has nothing else to do.
func BenchmarkCheapFrames(b *testing.B) {
	for _, tc := range cheap {
		b.Run(tc.name, func(b *testing.B) {
			a := newCheap(b)
			h := frame.ParseHeader(tc.frame)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.s.step(h, tc.frame[frame.HeaderLen:]); err != nil {
					b.Fatal(err)
				}
				if a.s.out.Len() > 0 {
					a.s.out.Recycle(a.s.out.Take())
				}
			}
		})
	}
}
