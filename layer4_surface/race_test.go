package surface

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// echoServer answers each call with its first message, on the goroutine that
// received it, until it is closed.
type echoServer struct {
	server *Server
	free   sync.Pool // of *echoSlot
	mu     sync.Mutex
	calls  int
}

func newEchoServer(t testing.TB, opts ...ServerOption) *echoServer {
	e := &echoServer{server: NewServer(opts...)}
	e.free.New = func() any { s := &echoSlot{e: e}; s.req.Tag = s; return s }
	q := cq.New(cq.Callback, cq.Config{})
	m, err := e.server.RegisterMethod("/echo/Echo", "", PayloadReadInitial)
	if err == nil {
		err = e.server.SetRegisteredMethodAllocator(m, q, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *echoServer) AllocateRequest() *RequestedCall { return &e.free.Get().(*echoSlot).req }

type echoSlot struct {
	e         *echoServer
	req       RequestedCall
	call      Call
	cancelled bool
	left      atomic.Int32
	answered  echoAnswered
	ops       [3]Op
}

// Run gets the call and starts {recv_close_on_server} and the answer. The slot
// is free again when both have ended.
func (s *echoSlot) Run(ok bool) {
	if !ok {
		return
	}
	s.call, s.answered.s = s.req.Call, s
	s.left.Store(2)
	payload := s.req.Payload
	s.ops[0] = Op{Type: RecvCloseOnServer, Cancelled: &s.cancelled}
	if e := s.call.StartBatchAndExecute(s.ops[:1], &s.answered); e != CallOK {
		panic(e)
	}
	if payload == nil {
		s.call.Cancel()
		s.answered.Run(false)
		return
	}
	s.ops[0] = Op{Type: SendInitialMetadata}
	s.ops[1] = Op{Type: SendMessage, Message: payload}
	s.ops[2] = Op{Type: SendStatusFromServer}
	if e := s.call.StartBatchAndExecute(s.ops[:], &s.answered); e != CallOK {
		panic(e)
	}
}

type echoAnswered struct{ s *echoSlot }

func (a *echoAnswered) Run(bool) {
	s := a.s
	if s.left.Add(-1) > 0 {
		return
	}
	call, e := s.call, s.e
	s.call, s.req.Call, s.req.Metadata = Call{}, Call{}, nil
	e.free.Put(s)
	call.Release()
	e.mu.Lock()
	e.calls++
	e.mu.Unlock()
}

// TestCancelRace runs calls that are cancelled at random times from another
// goroutine, with handles that are released while that goroutine still uses
// them, over a connection that is closed at the end. Every body is checked
// against its caller; every block has to come back.
func TestCancelRace(t *testing.T) {
	t.Run("inproc", func(t *testing.T) {
		testCancelRace(t, func(s *Server, opts ...ChannelOption) (*Channel, error) {
			clientEnd, serverEnd := inproc.Pair(inproc.Config{})
			if err := s.ServeTransport(serverEnd); err != nil {
				return nil, err
			}
			return NewDirectChannel(clientEnd, opts...)
		})
	})
	t.Run("http2", func(t *testing.T) {
		testCancelRace(t, func(s *Server, opts ...ChannelOption) (*Channel, error) {
			lis := memconn.Listen()
			go s.Serve(lis)
			return newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, opts...), nil
		})
	})
}

func testCancelRace(t *testing.T, connect func(*Server, ...ChannelOption) (*Channel, error)) {
	counter, clientCounter := &countingFilter{}, &countingFilter{}
	e := newEchoServer(t, WithLogger(quietLogger()), WithFilter(stacks.Extra{Filter: counter, After: []string{"server"}, Before: []string{"message_size"}}))
	ch, err := connect(e.server, WithFilter(stacks.Extra{Filter: clientCounter, After: []string{"authority"}, Before: []string{"message_size"}}))
	if err != nil {
		t.Fatal(err)
	}
	const callers, calls = 8, 300
	var done, cancelled, failed atomic.Int32
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range calls {
				switch st := raceCall(t, ch, fmt.Sprint("caller ", i, " call ", j)); st {
				case status.OK:
					done.Add(1)
				case status.Canceled, status.DeadlineExceeded:
					cancelled.Add(1)
				default:
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	ch.Close()
	e.server.Close()
	if failed.Load() > 0 || done.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d calls were done, %d cancelled, %d failed otherwise", done.Load(), cancelled.Load(), failed.Load())
	}
	for name, f := range map[string]*countingFilter{"server": counter, "client": clientCounter} {
		begun, ended := f.counts()
		// A transport or timer may be about to drop the last reference.
		for end := time.Now().Add(testTimeout); begun != ended && time.Now().Before(end); begun, ended = f.counts() {
			runtime.Gosched()
		}
		if begun != ended {
			t.Errorf("%s: %d calls were begun, %d came back to their pool", name, begun, ended)
		}
	}
}

// raceCall makes one call, which another goroutine may cancel or which has
// almost no time.
func raceCall(t *testing.T, ch *Channel, body string) status.Code {
	p := CallParams{Method: "/echo/Echo"}
	kind := rand.IntN(4)
	if kind == 0 {
		p.Deadline = time.Now().Add(time.Duration(rand.IntN(50)) * time.Microsecond)
	}
	c, err := ch.CreateCall(p)
	if err != nil {
		t.Error(err)
		return status.Internal
	}
	var st clientState
	var other sync.WaitGroup
	if kind == 1 {
		other.Go(func() { c.Cancel(); c.Cancel(); c.Peer() })
	}
	ops := []Op{opSendHeaders(), opSend(body), opClose(), st.opHeaders(), st.opMessage(), st.opStatus()}
	if kind == 2 {
		ended := make(chan bool, 1)
		if e := c.StartBatchAndExecute(ops, functorFunc(func(ok bool) { ended <- ok })); e != CallOK {
			t.Error(e)
		}
		c.Release()
		if !<-ended {
			t.Error("a batch with recv_status_on_client failed")
		}
	} else {
		tag := &st
		if e := c.StartBatch(ops, tag); e != CallOK {
			t.Error(e)
		}
		if ev := c.Pluck(tag, nil); !ev.Success {
			t.Error("a batch with recv_status_on_client failed")
		}
		c.Release()
	}
	other.Wait()
	if got := text(st.message); st.status.Code == status.OK && got != body {
		t.Errorf("received %q, want %q (kind %d)", got, body, kind)
	}
	return st.status.Code
}

// TestHandleGenerations: a handle of an earlier use of a block does nothing to
// a later one.
func TestHandleGenerations(t *testing.T) {
	f := newFixture(t)
	var old []Call
	for range 100 {
		c := f.call(CallParams{})
		for _, o := range old {
			if o.Valid() || o.Cancel() != CallErrorReleased || o.StartBatch(nil, "x") != CallErrorReleased {
				t.Fatal("a handle that was released is of use")
			}
			o.Release()
		}
		if !c.Valid() {
			t.Fatal("releasing old handles released a new one")
		}
		old = append(old, c)
		c.Release()
	}
}

// TestTwoBubbles: nothing of a channel or server outlives it, so that they
// work in one bubble after another.
func TestTwoBubbles(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			e := newEchoServer(t)
			clientEnd, serverEnd := inproc.Pair(inproc.Config{})
			if err := e.server.ServeTransport(serverEnd); err != nil {
				t.Fatal(err)
			}
			ch, err := NewDirectChannel(clientEnd)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				c, _ := ch.CreateCall(CallParams{Method: "/echo/Echo", Deadline: time.Now().Add(time.Second)})
				var st clientState
				c.StartBatch([]Op{opSendHeaders(), opSend("x"), opClose(), st.opMessage(), st.opHeaders(), st.opStatus()}, "t")
				c.Pluck("t", nil)
				if got := text(st.message); got != "x" {
					t.Errorf("received %q", got)
				}
				c.Release()
			}
			ch.Close()
			e.server.Close()
		})
	}
}
