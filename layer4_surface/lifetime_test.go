package surface

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A blockSet is the call blocks that handles were seen of.
type blockSet struct {
	mu     sync.Mutex
	uses   int
	blocks map[*call]struct{}
}

func (s *blockSet) add(h Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blocks == nil {
		s.blocks = map[*call]struct{}{}
	}
	s.uses++
	s.blocks[h.c] = struct{}{}
}

// inUse returns the blocks that somebody refers to.
func (s *blockSet) inUse() (found []*call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.blocks {
		if c.Acquire(c.Generation()) {
			c.Unref()
			found = append(found, c)
		}
	}
	return found
}

// wantReleased waits until nobody refers to any of the blocks, which a
// transport or a timer may do a little longer than the calls last.
func (s *blockSet) wantReleased(t *testing.T, what string) {
	t.Helper()
	for end := testDeadline(); len(s.inUse()) > 0 && time.Now().Before(end); {
		runtime.Gosched()
	}
	s.wantReleasedNow(t, what)
}

// wantReleasedNow checks that nobody refers to any of the blocks.
func (s *blockSet) wantReleasedNow(t *testing.T, what string) {
	t.Helper()
	for _, c := range s.inUse() {
		t.Errorf("%s: somebody refers to a block, generation %d, state %b", what, c.Generation(), c.state.Load())
	}
}

// A callStorm is a channel and a server whose calls end in all ways at all times.
// Every call has a name of its own, and whatever is received has to carry it.
type callStorm struct {
	t       *testing.T
	channel *Channel
	server  *Server

	clients, servers         blockSet
	clientStack, serverStack countingFilter
	done, failed, queued     atomic.Int32
	handlers                 sync.WaitGroup
}

// stormBody is longer than the windows of a storm, so that sending it waits.
const stormBody = 5000

// serve takes calls until the server shuts down, each on a goroutine.
func (s *callStorm) serve(q *cq.Queue) {
	for {
		req := new(RequestedCall)
		if s.server.RequestCall(req, nil, q, req) != CallOK {
			return
		}
		ev := q.Next(testDeadline())
		if !ev.Success {
			return
		}
		req = ev.Tag.(*RequestedCall) // perhaps another poller's
		s.servers.add(req.Call)
		s.handlers.Go(func() { s.handle(req) })
	}
}

// handle answers a call with its own name in everything that it sends.
func (s *callStorm) handle(req *RequestedCall) {
	call, name := req.Call, req.Details.Method
	defer call.Release()
	if got, _ := req.Metadata.Get("name"); got != name {
		s.t.Errorf("the headers of %s are those of %s", name, got)
	}
	var cancelled bool
	gone := make(chan struct{})
	call.StartBatchAndExecute([]Op{opCancelled(&cancelled)}, functorFunc(func(bool) { close(gone) }))
	defer func() { <-gone }()
	run := func(ops ...Op) bool {
		tag := &ops[0]
		if call.StartBatch(ops, tag) != CallOK {
			for _, op := range ops {
				op.Message.Release()
			}
			return false
		}
		return call.Pluck(tag, nil).Success
	}
	switch rand.IntN(8) {
	case 0: // answers at once
		run(opStatus(status.Aborted, name, "name", name))
		return
	case 1: // breaks the call off
		call.CancelWithStatus(status.DataLoss, name)
		return
	case 2: // reads nothing for a while: the client waits for its window
		for range rand.IntN(200) {
			runtime.Gosched()
		}
		call.Cancel()
		return
	}
	run(opSendHeaders("name", name))
	for {
		var msg *transport.Buffer
		if !run(opRecv(&msg)) || msg == nil {
			break
		}
		if got := text(msg); !strings.HasPrefix(got, name+" ") {
			s.t.Errorf("%s was sent %.40q", name, got)
		}
		run(opSend(name + " answer"))
	}
	run(opStatus(status.OK, name, "name", name))
}

// call makes one call that is broken off in some way, or not at all.
func (s *callStorm) call(name string) {
	p := CallParams{Method: name}
	if rand.IntN(4) == 0 {
		p.Deadline = time.Now().Add(time.Duration(rand.IntN(300)) * time.Microsecond)
	}
	c, err := s.channel.CreateCall(p)
	if err != nil {
		s.queued.Add(1) // the channel is closed
		return
	}
	s.clients.add(c)
	var other sync.WaitGroup
	if n := rand.IntN(6); n < 3 {
		other.Go(func() {
			for range rand.IntN(50) {
				runtime.Gosched()
			}
			switch n {
			case 0:
				c.Cancel()
			case 1:
				c.CancelWithStatus(status.Unavailable, name)
			case 2:
				c.Release()
			}
			c.Peer()
			c.Release()
		})
	}
	s.converse(c, name)
	c.Release()
	other.Wait()
	if e := c.StartBatch(nil, "late"); e != CallErrorReleased {
		s.t.Errorf("a released call answers %v", e)
	}
}

// converse sends one message or three, and checks everything that comes.
func (s *callStorm) converse(c Call, name string) {
	var st clientState
	var rest metadata.List
	ended := make(chan struct{})
	end := functorFunc(func(ok bool) {
		if !ok {
			s.t.Error("recv_status_on_client failed")
		}
		close(ended)
	})
	if c.StartBatchAndExecute([]Op{opSendHeaders("name", name), st.opStatus()}, end) != CallOK {
		return // released already
	}
	step := func(ops ...Op) bool {
		stepped := make(chan bool, 1)
		if c.StartBatchAndExecute(ops, functorFunc(func(ok bool) { stepped <- ok })) != CallOK {
			for _, op := range ops {
				op.Message.Release()
			}
			return false
		}
		return <-stepped
	}
	answers := 0
	step(Op{Type: RecvInitialMetadata, RecvMetadata: &rest})
	for range 1 + 2*rand.IntN(2) {
		body := name + " " + strings.Repeat("x", rand.IntN(2)*stormBody)
		if !step(opSend(body), st.opMessage()) || st.message == nil {
			break
		}
		if got := text(st.message); got != name+" answer" {
			s.t.Errorf("%s received %.40q", name, got)
		}
		answers++
	}
	st.message = nil
	step(opClose())
	<-ended
	if got, ok := rest.Get("name"); ok && got != name {
		s.t.Errorf("%s received the headers of %s", name, got)
	}
	switch got, _ := st.trailing.Get("name"); st.status.Code {
	case status.OK, status.Aborted:
		s.done.Add(1)
		if got != name || st.status.Message != name {
			s.t.Errorf("%s received the status %v %q with the trailers of %q", name, st.status.Code, st.status.Message, got)
		}
	default:
		s.failed.Add(1)
		if strings.HasPrefix(st.status.Message, "/") && st.status.Message != name {
			s.t.Errorf("%s received the status of %q", name, st.status.Message)
		}
	}
}

// newStorm connects the two with small windows and few streams, so that calls
// wait for both.
func newStorm(t *testing.T, wire string) *callStorm {
	s := &callStorm{t: t}
	q := cq.New(cq.Next, cq.Config{Name: "server"})
	http2cfg := http2.Config{MaxStreams: 6, StreamWindow: 1000, MaxStreamWindow: 1000}
	s.server = NewServer(WithLogger(quietLogger()), WithHTTP2(http2cfg),
		WithFilter(stacks.Extra{Filter: &s.serverStack, After: []string{"server"}, Before: []string{"message_size"}}))
	if err := s.server.RegisterCompletionQueue(q); err != nil {
		t.Fatal(err)
	}
	s.server.Start()
	count := WithFilter(stacks.Extra{Filter: &s.clientStack, After: []string{"authority"}, Before: []string{"message_size"}})
	if wire == "inproc" {
		clientEnd, serverEnd := inproc.Pair(inproc.Config{Window: 1000, MaxConcurrentStreams: 6})
		if err := s.server.ServeTransport(serverEnd); err != nil {
			t.Fatal(err)
		}
		var err error
		if s.channel, err = NewDirectChannel(clientEnd, count); err != nil {
			t.Fatal(err)
		}
	} else {
		lis := memconn.Listen()
		go s.server.Serve(lis)
		s.channel = newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, count, WithHTTP2(http2cfg))
	}
	for range 2 {
		s.handlers.Go(func() { s.serve(q) })
	}
	return s
}

// wantNothingLeft checks after the end that no block has a reference, and that
// each use of a stack was ended.
func (s *callStorm) wantNothingLeft() {
	s.t.Helper()
	s.handlers.Wait()
	s.clients.wantReleased(s.t, "client")
	s.servers.wantReleased(s.t, "server")
	for name, f := range map[string]*countingFilter{"client": &s.clientStack, "server": &s.serverStack} {
		begun, ended := f.counts()
		for end := testDeadline(); begun != ended && time.Now().Before(end); begun, ended = f.counts() {
			runtime.Gosched()
		}
		if begun != ended {
			s.t.Errorf("%s: %d calls were begun, %d came back to their pool", name, begun, ended)
		}
	}
	if n := s.clients.uses; n < 200 || len(s.clients.blocks) > n/2 {
		s.t.Errorf("%d calls used %d blocks: none was used again", n, len(s.clients.blocks))
	}
}

// TestStorm has calls of one and of several messages end by themselves, by
// cancel, deadline and release of either side, from copies of the handle, at
// random times: while they run, wait for a window, or wait for their turn on
// the connection. At last the channel or the server is closed under them.
func TestStorm(t *testing.T) {
	for _, wire := range []string{"inproc", "http2"} {
		for _, end := range []string{"channel", "server", "both"} {
			t.Run(wire+"/close="+end, func(t *testing.T) {
				s := newStorm(t, wire)
				const callers, calls = 8, 60
				var wg sync.WaitGroup
				var made atomic.Int32
				for i := range callers {
					wg.Go(func() {
						for j := range calls {
							s.call(fmt.Sprintf("/storm/%d.%d", i, j))
							made.Add(1)
						}
					})
				}
				for made.Load() < callers*calls*3/4 {
					runtime.Gosched()
				}
				switch end {
				case "channel":
					s.channel.Close()
				case "server":
					s.server.Close()
				default:
					wg.Go(s.channel.Close)
					s.server.Close()
				}
				wg.Wait()
				s.channel.Close()
				s.server.Close()
				s.wantNothingLeft()
				if s.done.Load() == 0 || s.failed.Load() == 0 {
					t.Errorf("%d calls were done, %d failed", s.done.Load(), s.failed.Load())
				}
			})
		}
	}
}
