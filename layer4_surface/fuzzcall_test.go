package surface

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// The steps of a script: a byte for what to do, modulo their number, and bytes
// for what with. The seeds are written with these.
const (
	doCreate      = iota // a client's call: its deadline in tenths of a second, 0 for none
	doClientBatch        // of which call, which operations, how
	doServerBatch        // the same
	doCancel             // which end, how
	doRelease            // which end
	doSleep              // tenths of a second
	doRequest            // a slot of the server
	doClose              // channel or server
	doSteps
)

// How a batch of a script is started: the bits of its last byte.
const (
	howClosure = 1 << iota // StartBatchAndExecute
	howFlag                // an operation has a flag that nothing knows
	howNil                 // an operation lacks its message
	howBadKey              // metadata that cannot travel
	howLong                // a message longer than the window
)

const (
	fuzzSteps = 200 // bounds a script
	fuzzCalls = 8   // bounds its calls
)

// A fuzzEnd is one end of a call in a script.
type fuzzEnd struct {
	call        Call
	name        string
	released    bool
	outstanding map[string]bool // tags of batches, and whether each has the final receive
	received    map[string]**transport.Buffer
}

// A fuzzWorld runs a script.
type fuzzWorld struct {
	t        *testing.T
	script   []byte
	channel  *Channel
	server   *Server
	cq, scq  *cq.Queue
	clients  []*fuzzEnd
	servers  []*fuzzEnd
	requests map[string]*RequestedCall
	tags     int
	blocks   blockSet
	allEnds  []*fuzzEnd
}

func (w *fuzzWorld) byte() int {
	if len(w.script) == 0 {
		return 0
	}
	b := w.script[0]
	w.script = w.script[1:]
	return int(b)
}

// tag returns a tag that no other batch or slot has.
func (w *fuzzWorld) tag(what string) string {
	w.tags++
	return fmt.Sprint(what, " ", w.tags)
}

// pick chooses an end by a byte, nil if there is none.
func (w *fuzzWorld) pick(ends []*fuzzEnd) *fuzzEnd {
	b := w.byte()
	if len(ends) == 0 {
		return nil
	}
	return ends[b%len(ends)]
}

func (w *fuzzWorld) either() *fuzzEnd {
	if w.byte()%2 == 0 {
		return w.pick(w.clients)
	}
	return w.pick(w.servers)
}

func (w *fuzzWorld) add(ends *[]*fuzzEnd, call Call, name string) {
	e := &fuzzEnd{call: call, name: name, outstanding: map[string]bool{}, received: map[string]**transport.Buffer{}}
	*ends = append(*ends, e)
	w.allEnds = append(w.allEnds, e)
	w.blocks.add(call)
}

// step does what the next bytes say.
func (w *fuzzWorld) step() {
	switch w.byte() % doSteps {
	case doCreate:
		p := CallParams{Method: fmt.Sprint("/call/", len(w.clients)), Queue: w.cq}
		if d := w.byte(); d > 0 {
			p.Deadline = time.Now().Add(time.Duration(d) * 100 * time.Millisecond)
		}
		if len(w.clients) == fuzzCalls {
			return
		}
		if c, err := w.channel.CreateCall(p); err == nil {
			w.add(&w.clients, c, p.Method)
		}
	case doClientBatch:
		w.batch(w.pick(w.clients), w.byte(), w.byte())
	case doServerBatch:
		w.batch(w.pick(w.servers), w.byte(), w.byte())
	case doCancel:
		if e := w.either(); e != nil {
			got, want := e.call.CancelWithStatus(status.Code(w.byte()%17), e.name), CallOK
			if e.released {
				want = CallErrorReleased
			}
			if got != want && got != CallErrorFailed { // OK is no status to cancel with
				w.t.Errorf("CancelWithStatus = %v", got)
			}
		}
	case doRelease:
		if e := w.either(); e != nil {
			e.call.Release()
			e.released = true
		}
	case doSleep:
		//bars:allow sleep FuzzCall runs its scripts in a bubble
		time.Sleep(time.Duration(w.byte()) * 100 * time.Millisecond)
	case doRequest:
		req, tag := new(RequestedCall), w.tag("request")
		if len(w.requests) < fuzzCalls && w.server.RequestCall(req, w.scq, w.scq, tag) == CallOK {
			w.requests[tag] = req
		}
	case doClose:
		if w.byte()%2 == 0 {
			w.channel.Close()
		} else {
			w.server.Close()
		}
	}
	synctest.Wait()
	w.events(w.cq)
	w.events(w.scq)
}

// batch starts the operations of the bits of ops at e.
func (w *fuzzWorld) batch(e *fuzzEnd, ops, how int) {
	if e == nil {
		return
	}
	var batch []Op
	msg := new(*transport.Buffer)
	for t := range OpType(opTypes) {
		if ops&(1<<t) != 0 {
			batch = append(batch, w.op(e, t, how, msg))
		}
	}
	tag := w.tag("batch")
	before := e.call.c.state.Load()
	final := ops&(1<<RecvStatusOnClient|1<<RecvCloseOnServer) != 0
	e.outstanding[tag], e.received[tag] = final, msg // the closure may run at once
	var fault CallError
	if how&howClosure != 0 {
		fault = e.call.StartBatchAndExecute(batch, functorFunc(func(ok bool) {
			w.events(w.cq) // what came before
			w.ended(e, tag, ok)
		}))
	} else {
		fault = e.call.StartBatch(batch, tag)
	}
	switch {
	case fault == CallOK && e.released:
		w.t.Errorf("StartBatch(%s) of a released call = %v", opNamesOf(batch), fault)
	case fault == CallOK:
	case fault == CallErrorReleased && !e.released:
		w.t.Errorf("StartBatch(%s) = %v", opNamesOf(batch), fault)
	default:
		delete(e.outstanding, tag)
		if after := e.call.c.state.Load(); after != before && !e.released {
			w.t.Errorf("StartBatch(%s) = %v, and the state became %b, it was %b", opNamesOf(batch), fault, after, before)
		}
		for _, op := range batch {
			op.Message.Release()
		}
	}
}

// op returns an operation for e as how says.
func (w *fuzzWorld) op(e *fuzzEnd, t OpType, how int, msg **transport.Buffer) Op {
	op := Op{Type: t}
	if how&howFlag != 0 {
		op.Flags = 1 << 30
	}
	switch t {
	case SendInitialMetadata:
		op.SendMetadata = pairs("name", e.name)
		if how&howBadKey != 0 {
			op.SendMetadata.Append("BAD", "")
		}
	case SendMessage:
		if how&howNil == 0 {
			op.Message = message(e.name + strings.Repeat(" ", how&howLong*20))
		}
	case SendStatusFromServer:
		op.Status = status.New(status.Aborted, e.name)
	case RecvMessage:
		op.RecvMessage = msg
	}
	return op
}

// ended is the end of a batch: it was accepted, and this is its only event.
func (w *fuzzWorld) ended(e *fuzzEnd, tag string, ok bool) {
	final, known := e.outstanding[tag]
	delete(e.outstanding, tag)
	switch {
	case !known:
		w.t.Errorf("%s: an event of %q, which was not started or had its event", e.name, tag)
	case final && !ok:
		w.t.Errorf("%s: the final operation failed", e.name)
	case final && e.call.c.server == nil && len(e.outstanding) > 0:
		w.t.Errorf("%s: recv_status_on_client came before %v", e.name, e.outstanding)
	}
	if msg := *e.received[tag]; msg != nil {
		if !ok {
			w.t.Errorf("%s: a batch failed and has a message", e.name)
		}
		if got := strings.TrimRight(text(msg), " "); got != e.name {
			w.t.Errorf("%s received %q", e.name, got)
		}
	}
}

// events takes what is in q. Everything that can end has ended.
func (w *fuzzWorld) events(q *cq.Queue) {
	for ev := q.TryNext(); ev.Type == cq.OpComplete; ev = q.TryNext() {
		tag := ev.Tag.(string)
		if req := w.requests[tag]; req != nil {
			delete(w.requests, tag)
			if !ev.Success {
				continue // the server has shut down
			}
			if name, _ := req.Metadata.Get("name"); name != req.Details.Method {
				w.t.Errorf("%s has the headers of %q", req.Details.Method, name)
			}
			w.add(&w.servers, req.Call, req.Details.Method)
			continue
		}
		found := false
		for _, e := range w.allEnds {
			if _, ok := e.outstanding[tag]; ok {
				found = true
				w.ended(e, tag, ev.Success)
				break
			}
		}
		if !found {
			w.t.Errorf("an event of %q, which nobody has started", tag)
		}
	}
}

// finish ends everything, after which every batch must have had its event and
// no block a reference.
func (w *fuzzWorld) finish() {
	for _, e := range w.allEnds {
		e.call.Release()
		e.released = true
	}
	w.channel.Close()
	w.server.Close()
	synctest.Wait()
	for _, q := range []*cq.Queue{w.cq, w.scq} {
		w.events(q)
		q.Shutdown()
		if ev := q.TryNext(); ev.Type != cq.QueueShutdown {
			w.t.Errorf("the %s queue does not drain: %v %v, %d pending", q.Name(), ev.Type, ev.Tag, q.Pending())
		}
	}
	// A slot that was posted and served nobody may have brought a call at last.
	for _, e := range w.allEnds {
		e.call.Release()
		for tag := range e.outstanding {
			w.t.Errorf("%s: %q never had its event", e.name, tag)
		}
	}
	w.blocks.wantReleasedNow(w.t, "end")
}

// FuzzCall drives a channel and a server over the in-process transport by a
// script: gRPC core's api_fuzzer. Every accepted batch posts exactly one event
// and a refused one none, a refusal changes nothing, recv_status_on_client is
// the last event of its call, every message arrives at its own call, the queues
// drain, and no reference, goroutine or block is left.
func FuzzCall(f *testing.F) {
	const unary, send, recv = 0x77, 0x07, 0x70 // the six operations of a client, and its halves
	for _, seed := range [][]byte{
		{doRequest, doCreate, 0, doClientBatch, 0, unary, 0, doServerBatch, 0, 0xa0, 0, doServerBatch, 0, 0x0b, 0},
		{doCreate, 0, doClientBatch, 0, recv, 0, doClientBatch, 0, send, 0, doRequest, doServerBatch, 0, 0x08, howClosure},
		{doCreate, 9, doClientBatch, 0, unary, howLong, doSleep, 10, doRequest},
		{doRequest, doCreate, 0, doClientBatch, 0, 0x21, 0, doServerBatch, 0, 0x03, 0, doClientBatch, 0, 0x10, howClosure, doCancel, 0, 0, 1},
		{doRequest, doCreate, 0, doClientBatch, 0, 0x03, howLong, doServerBatch, 0, 0x20, 0, doRelease, 1, 0, doClientBatch, 0, 0x40, 0},
		{doCreate, 0, doClientBatch, 0, 0x02, howNil, doClientBatch, 0, 0x01, howBadKey, doClientBatch, 0, 0x60, howFlag, doRelease, 0, 0},
		{doRequest, doCreate, 0, doClientBatch, 0, unary, 0, doServerBatch, 0, 0x80, 0, doClose, 1, doClientBatch, 0, 0, 0},
		{doRequest, doCreate, 0, doClientBatch, 0, unary, 0, doClose, 0, doServerBatch, 0, 0x8b, 0, doRelease, 1, 0},
		{doCreate, 0, doClientBatch, 0, 0x22, 0, doClientBatch, 0, 0x01, 0, doRequest, doServerBatch, 0, 0x02, 0, doServerBatch, 0, 0x09, 0, doClientBatch, 0, 0x40, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := &fuzzWorld{t: t, script: script, requests: map[string]*RequestedCall{},
				cq: cq.New(cq.Next, cq.Config{Name: "client", Debug: true})}
			w.server, w.scq = newFixtureServer(t, WithLogger(quietLogger()))
			clientEnd, serverEnd := inproc.Pair(inproc.Config{Window: 100})
			if err := w.server.ServeTransport(serverEnd); err != nil {
				t.Fatal(err)
			}
			var err error
			if w.channel, err = NewDirectChannel(clientEnd); err != nil {
				t.Fatal(err)
			}
			for range fuzzSteps {
				if len(w.script) == 0 {
					break
				}
				w.step()
			}
			w.finish()
		})
	})
}
