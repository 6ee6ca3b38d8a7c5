package http2_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/faultconn"
)

// A chaos is a connection on which things go wrong and calls whose messages
// say of themselves which they are. What must hold whatever happens:
//
//   - each operation of a call ends once, and the call with one status;
//   - what a stream delivers is what was sent on it, from the first message
//     on, in order, nothing twice;
//   - a call that ends with OK has delivered everything;
//   - nothing is left behind: no goroutine, no reference.
type chaos struct {
	t              *testing.T
	seed           uint64
	client, server transport.Transport
	handlers       sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	wrong []string // data that nobody sent, or in another order
	codes map[status.Code]int
	short []string // calls that ended with OK and lack messages
}

// patience is how long a call lasts before its owner gives it up.
const patience = 10 * time.Second

// giveUp cancels c when its patience is over. The function that it returns
// must have returned before c is released.
func giveUp(c *transporttest.Call, after time.Duration) (stop func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		defer close(done)
		c.Batch().Cancel(status.Error(status.Canceled, "out of patience")).Start()
	})
	return func() {
		if !timer.Stop() {
			<-done
		}
	}
}

// message returns the payload number seq of a call: call, seq, length, data,
// checksum.
func message(call, seq uint32, size int) []byte {
	b := binary.BigEndian.AppendUint32(nil, call)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	for i := range size {
		b = append(b, byte(call)+byte(seq)*7+byte(i))
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// checkMessage says what is wrong with a message that came as number seq.
func checkMessage(b []byte, call, seq uint32) string {
	if len(b) < 16 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return fmt.Sprintf("message %d of call %d is damaged (%d bytes)", seq, call, len(b))
	}
	if c, s := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]); c != call || s != seq {
		return fmt.Sprintf("call %d got message %d of call %d as number %d", call, s, c, seq)
	}
	return ""
}

func (x *chaos) note(wrong string) {
	if wrong != "" {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.wrong = append(x.wrong, wrong)
	}
}

// AcceptStream implements [transport.Acceptor]: it echoes each message.
func (x *chaos) AcceptStream(tr transport.Transport, accepted transport.Accepted) {
	s := transporttest.NewServerCall(x.t, tr, accepted)
	x.handlers.Go(func() { x.serve(s) })
}

func (x *chaos) serve(s *transporttest.Call) {
	stop := giveUp(s, patience)
	end := s.Batch().RecvHeaders().RecvTrailers().Start()
	_ = end.WaitHeaders() // they are here, or recv_message fails as well
	s.Batch().SendHeaders(transporttest.ResponseHeaders()).Start()
	var call uint32
	for seq := uint32(0); ; seq++ {
		m, ok, err := s.Batch().RecvMessage(0).Start().WaitMessage()
		if err != nil {
			s.Batch().Cancel(status.Error(status.Internal, "the request broke off")).Start()
			break
		}
		if !ok {
			s.Batch().SendTrailers(transporttest.Trailers(status.OK, "")).Start()
			break
		}
		if seq == 0 && len(m) >= 4 {
			call = binary.BigEndian.Uint32(m)
		}
		x.note(checkMessage(m, call, seq))
		_ = s.Batch().SendMessage(m).Start().WaitSent() // recv_message says what happened
	}
	_, _ = end.WaitTrailers() // how the call ended is for the client to judge
	stop()
	s.WaitGone()
}

// call makes a call with that many messages.
func (x *chaos) call(number uint32, messages, size int) {
	c := transporttest.NewClientCall(x.t, x.client)
	stop := giveUp(c, patience)
	end := c.Batch().RecvHeaders().RecvTrailers().Start()
	c.Batch().SendHeaders(transporttest.RequestHeaders()).Start()
	var sending sync.WaitGroup
	sending.Go(func() {
		for seq := range messages {
			if c.Batch().SendMessage(message(number, uint32(seq), size)).Start().WaitSent() != nil {
				return
			}
		}
		c.Batch().HalfClose().Start()
	})
	got := 0
	if end.WaitHeaders() == nil {
		for {
			m, ok, err := c.Batch().RecvMessage(0).Start().WaitMessage()
			if err != nil || !ok {
				break
			}
			x.note(checkMessage(m, number, uint32(got)))
			got++
		}
	}
	md, err := end.WaitTrailers()
	code := transporttest.StatusOf(md, err).Code()
	stop()
	sending.Wait()
	c.WaitGone()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.codes[code]++
	if code == status.OK && got != messages {
		x.short = append(x.short, fmt.Sprintf("call %d ended with OK after %d of %d messages", number, got, messages))
	}
}

// The calls of one chaos: some workers that make some calls each.
const (
	chaosWorkers = 5
	chaosCalls   = 3
)

// run makes calls over the two ends until they are over, or cannot begin.
func (x *chaos) run(c, s net.Conn) {
	x.codes = map[status.Code]int{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if tr, err := http2.Accept(ctx, s, nil, http2.Config{}); err == nil {
			x.server = tr
			tr.PerformOp(&transport.Op{Accept: x})
		}
	}()
	client, err := http2.Connect(ctx, c, nil, http2.Config{})
	<-accepted
	if err == nil {
		x.client = client
		var workers sync.WaitGroup
		for w := range chaosWorkers {
			r := rand.New(rand.NewPCG(x.seed, uint64(w)))
			workers.Go(func() {
				for n := range chaosCalls {
					x.call(uint32(w*chaosCalls+n+1), r.IntN(4), 1<<r.IntN(12))
				}
			})
		}
		workers.Wait()
		x.client.Close()
	}
	if x.server != nil {
		x.server.Close()
	}
	x.handlers.Wait()
}

// A recorder keeps what was written, as it was before anything happened to it.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written []byte
}

// Write implements [net.Conn].
func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.Conn.Write(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = append(r.written, b[:n]...)
	return n, err
}

// place says in what of the written frames the octet at stands.
func (r *recorder) place(at int64) string {
	b, start := r.written, int64(0)
	if len(b) >= len(frame.ClientPreface) && string(b[:len(frame.ClientPreface)]) == frame.ClientPreface {
		start = int64(len(frame.ClientPreface))
	}
	for start <= at && start+frame.HeaderLen <= int64(len(b)) {
		h := frame.ParseHeader(b[start:])
		switch end := start + frame.HeaderLen + int64(h.Length); {
		case at < start+frame.HeaderLen:
			return "a frame header"
		case at < end:
			return h.Type.String()
		default:
			start = end
		}
	}
	return "the preface"
}

// hits returns what the corruptions that struck either conn have hit, given
// what each has written.
func hits(c, s *faultconn.Conn, fromClient, fromServer *recorder) (places []string) {
	cRead, cWrite := c.Struck()
	sRead, sWrite := s.Struck()
	for _, f := range slices.Concat(cWrite, sRead) {
		if f.Kind == faultconn.Corrupt {
			places = append(places, fromClient.place(f.At))
		}
	}
	for _, f := range slices.Concat(sWrite, cRead) {
		if f.Kind == faultconn.Corrupt {
			places = append(places, fromServer.place(f.At))
		}
	}
	return places
}

func struck(conns ...*faultconn.Conn) (n int) {
	for _, c := range conns {
		read, write := c.Struck()
		n += len(read) + len(write)
	}
	return n
}

// schedules is how many seeds a test tries.
func schedules(long int) uint64 {
	if testing.Short() {
		return uint64(long / 20)
	}
	return uint64(long)
}

// faultSpan is how many octets of a connection the faults strike among: those
// that the calls of a chaos move, more or less.
const faultSpan = 30_000

// TestFaults runs calls over connections with resets, stalls, silence and
// corruption. A test that fails names its seed; -run TestFaults/seed=7 makes
// the same things happen again.
func TestFaults(t *testing.T) {
	for seed := range schedules(600) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testFaults(t, seed) })
		})
	}
}

func testFaults(t *testing.T, seed uint64) {
	plans := []faultconn.Plan{faultconn.Hostile(seed, faultSpan), faultconn.Benign(seed + 1<<32)}
	if seed%2 == 1 {
		slices.Reverse(plans)
	}
	c, s := faultconn.Pipe(plans[0], plans[1])
	fromClient, fromServer := &recorder{Conn: c}, &recorder{Conn: s}
	x := &chaos{t: t, seed: seed}
	x.run(fromClient, fromServer)

	places := hits(c, s, fromClient, fromServer)
	// What HTTP/2 cannot know: it has no checksum, so an octet of DATA, or of a
	// header that says whose it is, is believed. That is what TLS is for.
	if blind := slices.ContainsFunc(places, func(p string) bool { return p == "DATA" || p == "a frame header" }); !blind {
		for _, w := range x.wrong {
			t.Errorf("corrupted: %q; %s", places, w)
		}
		if !slices.Contains(places, "HEADERS") { // which has the status
			for _, w := range x.short {
				t.Errorf("corrupted: %q; %s", places, w)
			}
		}
	}
	for code, n := range x.codes {
		switch {
		case struck(c, s) == 0 && code != status.OK:
			t.Errorf("nothing happened, and %d calls ended with %v", n, code)
		case len(places) == 0 && code != status.OK && code != status.Unavailable && code != status.Canceled:
			t.Errorf("nothing was corrupted, and %d calls ended with %v", n, code)
		}
	}
	if t.Failed() {
		t.Logf("client: %v\nserver: %v\nended: %v", plans[0], plans[1], x.codes)
	}
}

// misbehave makes a call that goes wrong in a way of its own.
func (x *chaos) misbehave(r *rand.Rand) {
	c := transporttest.NewClientCall(x.t, x.client)
	defer c.WaitGone()
	end := c.Batch().RecvTrailers().Start()
	c.Batch().SendHeaders(transporttest.RequestHeaders()).Start()
	switch r.IntN(4) {
	case 0: // cancelled at any time
		sent := c.Batch().SendMessage(message(1, 0, 1<<r.IntN(12))).Start()
		time.Sleep(time.Duration(r.IntN(10_000)) * time.Microsecond)
		c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
		_ = sent.WaitSent()
	case 1: // refuses the answer
		c.Batch().SendMessage(message(1, 0, 1000)).HalfClose().Start()
		recv := c.Batch().RecvHeaders().RecvMessage(100).Start()
		if _, ok, err := recv.WaitMessage(); ok || status.CodeOf(err) != status.ResourceExhausted {
			x.t.Errorf("a message beyond the limit: %v, %v; want RESOURCE_EXHAUSTED", ok, err)
		}
	case 2: // reads nothing
		for seq := range r.IntN(20) {
			if !c.Batch().SendMessage(message(1, uint32(seq), 4000)).Start().IsSent() {
				break
			}
		}
		time.Sleep(time.Second)
		c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	case 3: // never sends anything
		time.Sleep(time.Second)
		c.Batch().Cancel(status.Error(status.Canceled, "enough")).Start()
	}
	_, _ = end.WaitTrailers() // it was not meant to end well
}

// TestFaultOfOneStream: calls that go wrong on their own change nothing for
// those beside them.
func TestFaultOfOneStream(t *testing.T) {
	for seed := range schedules(80) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plans := [2]faultconn.Plan{faultconn.Benign(seed), faultconn.Benign(^seed)}
				c, s := faultconn.Pipe(plans[0], plans[1])
				x := &chaos{t: t, seed: seed, codes: map[status.Code]int{}}
				x.client, x.server = connected(t, c, s, options)
				x.server.PerformOp(&transport.Op{Accept: x})
				var workers sync.WaitGroup
				for w := range chaosWorkers {
					workers.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(w)))
						for n := range chaosCalls {
							x.call(uint32(w*chaosCalls+n+1), r.IntN(4), 1<<r.IntN(12))
						}
					})
					workers.Go(func() {
						r := rand.New(rand.NewPCG(^seed, uint64(w)))
						for range chaosCalls {
							x.misbehave(r)
						}
					})
				}
				workers.Wait()
				x.client.Close()
				x.server.Close()
				x.handlers.Wait()
				for _, w := range slices.Concat(x.wrong, x.short) {
					t.Error(w)
				}
				if n := x.codes[status.OK]; n != chaosWorkers*chaosCalls {
					t.Errorf("%d of %d calls that do nothing wrong ended with OK: %v\n%v\n%v", n, chaosWorkers*chaosCalls, x.codes, plans[0], plans[1])
				}
			})
		})
	}
}
