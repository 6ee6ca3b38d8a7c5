package surface

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A partition is the operations of a call, divided into batches that are
// started one after another.
type partition [][]OpType

// partitions returns all ways to divide ops into batches: 203 for six.
func partitions(ops []OpType) []partition {
	if len(ops) == 0 {
		return []partition{{}}
	}
	var all []partition
	last := ops[len(ops)-1]
	for _, p := range partitions(ops[:len(ops)-1]) {
		for i := range p {
			q := slices.Clone(p)
			q[i] = append(slices.Clone(q[i]), last)
			all = append(all, q)
		}
		all = append(all, append(slices.Clone(p), []OpType{last}))
	}
	return all
}

// batchOf returns which batch has the operation, -1 for none.
func (p partition) batchOf(op OpType) int {
	return slices.IndexFunc(p, func(b []OpType) bool { return slices.Contains(b, op) })
}

// inOrder reports whether no operation of before is started after op. It is
// what a call asks of the order of batches: no message after the half-close,
// nothing after the status.
func (p partition) inOrder(op OpType, before ...OpType) bool {
	return !slices.ContainsFunc(before, func(b OpType) bool { return p.batchOf(b) > p.batchOf(op) })
}

// shuffled returns p with its batches and their operations in a random order
// that legal accepts.
func (p partition) shuffled(r *rand.Rand, legal func(partition) bool) partition {
	for {
		q := slices.Clone(p)
		r.Shuffle(len(q), func(i, j int) { q[i], q[j] = q[j], q[i] })
		for i := range q {
			q[i] = slices.Clone(q[i])
			r.Shuffle(len(q[i]), func(a, b int) { q[i][a], q[i][b] = q[i][b], q[i][a] })
		}
		if legal(q) {
			return q
		}
	}
}

func legalClient(p partition) bool { return p.inOrder(SendCloseFromClient, SendMessage) }

// legalServer has the server receive before it answers, so that every call has
// the same result.
func legalServer(p partition) bool {
	return p.inOrder(SendStatusFromServer, SendInitialMetadata, SendMessage, RecvMessage) &&
		p.batchOf(SendStatusFromServer) != p.batchOf(RecvMessage)
}

// A combination makes unary calls whose operations are divided in all ways.
type combination struct {
	t       *testing.T
	channel *Channel
	server  *Server
	cq, scq *cq.Queue
	calls   int
}

func (c *combination) call(client, server partition) {
	c.t.Helper()
	c.calls++
	done := false
	defer func() {
		if !done {
			c.t.Errorf("call %d: client %v, server %v", c.calls, client, server)
		}
	}()
	var req RequestedCall
	if e := c.server.RequestCall(&req, c.scq, c.scq, "request"); e != CallOK {
		c.t.Fatal(e)
	}
	call, err := c.channel.CreateCall(CallParams{Method: "/a/b", Queue: c.cq})
	if err != nil {
		c.t.Fatal(err)
	}
	var st clientState
	for i, batch := range client {
		ops := make([]Op, 0, len(batch))
		for _, op := range batch {
			ops = append(ops, map[OpType]func() Op{
				SendInitialMetadata: func() Op { return opSendHeaders("k", "v") },
				SendMessage:         func() Op { return opSend("hello") },
				SendCloseFromClient: opClose,
				RecvInitialMetadata: st.opHeaders,
				RecvMessage:         st.opMessage,
				RecvStatusOnClient:  st.opStatus,
			}[op]())
		}
		if e := call.StartBatch(ops, i); e != CallOK {
			c.t.Fatalf("client %v: StartBatch(%v) = %v", client, batch, e)
		}
	}
	synctest.Wait()
	c.next(c.scq, "request")
	wantPairs(c.t, "request metadata", req.Metadata, "k", "v")
	var got *transport.Buffer
	cancelled := true
	for i, batch := range server {
		ops := make([]Op, 0, len(batch))
		for _, op := range batch {
			ops = append(ops, map[OpType]func() Op{
				SendInitialMetadata:  func() Op { return opSendHeaders("h", "1") },
				SendMessage:          func() Op { return opSend("world") },
				SendStatusFromServer: func() Op { return opStatus(status.DataLoss, "xyz", "t", "2") },
				RecvMessage:          func() Op { return opRecv(&got) },
				RecvCloseOnServer:    func() Op { return opCancelled(&cancelled) },
			}[op]())
		}
		if e := req.Call.StartBatch(ops, i); e != CallOK {
			c.t.Fatalf("server %v: StartBatch(%v) = %v", server, batch, e)
		}
	}
	synctest.Wait()
	c.events(c.scq, len(server))
	if last := c.events(c.cq, len(client)); last != client.batchOf(RecvStatusOnClient) {
		c.t.Errorf("client %v: the event of batch %d comes last, want that of recv_status_on_client", client, last)
	}
	if a, b := text(got), text(st.message); a != "hello" || b != "world" || cancelled {
		c.t.Errorf("the messages are %q and %q, cancelled = %t", a, b, cancelled)
	}
	wantPairs(c.t, "initial metadata", &st.initial, "h", "1")
	wantPairs(c.t, "trailing metadata", &st.trailing, "t", "2")
	st.wantStatus(c.t, status.DataLoss, "xyz")
	call.Release()
	req.Call.Release()
	if c.t.Failed() {
		c.t.FailNow()
	}
	done = true
}

// next takes the event of tag, which has to be there and successful.
func (c *combination) next(q *cq.Queue, tag cq.Tag) {
	c.t.Helper()
	if ev := q.TryNext(); ev.Tag != tag || !ev.Success {
		c.t.Fatalf("%s: event = %v %v success=%t, want %v", q.Name(), ev.Type, ev.Tag, ev.Success, tag)
	}
}

// events takes n successful events, one of each batch, and no more, and returns
// the batch of the last one.
func (c *combination) events(q *cq.Queue, n int) (last int) {
	c.t.Helper()
	seen := map[cq.Tag]bool{}
	for range n {
		ev := q.TryNext()
		if ev.Type != cq.OpComplete || !ev.Success || seen[ev.Tag] {
			c.t.Fatalf("%s: event = %v %v success=%t after those of %v of %d batches", q.Name(), ev.Type, ev.Tag, ev.Success, seen, n)
		}
		seen[ev.Tag] = true
		last, _ = ev.Tag.(int)
	}
	if ev := q.TryNext(); ev.Type != cq.QueueTimeout {
		c.t.Fatalf("%s: one event more: %v %v", q.Name(), ev.Type, ev.Tag)
	}
	return last
}

// TestEveryPartition divides the six operations of a client's unary call and
// the five of its server into batches, in every way and in orders drawn by lot,
// and wants the same result of all of them: one successful event for each
// batch, that of recv_status_on_client last.
func TestEveryPartition(t *testing.T) {
	for _, wire := range []string{"inproc", "http2"} {
		t.Run(wire, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testEveryPartition(t, wire) })
		})
	}
}

func testEveryPartition(t *testing.T, wire string) {
	s, scq := newFixtureServer(t, WithLogger(quietLogger()))
	c := &combination{t: t, server: s, scq: scq, cq: cq.New(cq.Next, cq.Config{Name: "client", Debug: true})}
	if wire == "inproc" {
		clientEnd, serverEnd := inproc.Pair(inproc.Config{})
		if err := s.ServeTransport(serverEnd); err != nil {
			t.Fatal(err)
		}
		var err error
		if c.channel, err = NewDirectChannel(clientEnd); err != nil {
			t.Fatal(err)
		}
	} else {
		lis := memconn.Listen()
		s.Start()
		go s.Serve(lis)
		c.channel = newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
	}
	defer s.Close()
	defer c.channel.Close()
	clients := partitions([]OpType{SendInitialMetadata, SendMessage, SendCloseFromClient, RecvInitialMetadata, RecvMessage, RecvStatusOnClient})
	servers := slices.DeleteFunc(
		partitions([]OpType{RecvCloseOnServer, RecvMessage, SendInitialMetadata, SendMessage, SendStatusFromServer}),
		func(p partition) bool { return p.batchOf(RecvMessage) == p.batchOf(SendStatusFromServer) })
	if len(clients) != 203 || len(servers) != 37 {
		t.Fatalf("%d and %d partitions, want 203 and 37", len(clients), len(servers))
	}
	r := rand.New(rand.NewPCG(1, 2))
	orders := 3
	if testing.Short() {
		orders = 1
	}
	for _, client := range clients {
		for _, server := range servers {
			for range orders {
				c.call(client.shuffled(r, legalClient), server.shuffled(r, legalServer))
			}
		}
	}
	t.Log(fmt.Sprint(wire, ": ", c.calls, " calls"))
}
