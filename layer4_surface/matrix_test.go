package surface

import (
	"fmt"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// The columns of startMatrix: what happened to the call before.
const (
	isFresh    = iota
	wasStarted // the same operation, whose event was dequeued
	isInFlight // the same operation, whose event was not
	afterFinal // the half-close or the status
	isCancelled
	hasEnded // the final receiving operation
	isReleased

	matrixStates
)

var stateNames = [matrixStates]string{"fresh", "started once", "in flight", "after final", "cancelled", "ended", "released"}

// startMatrix is what StartBatch says to each operation, alone in its batch, in
// each state of a call. The words are the ends of gRPC core's symbols.
const startMatrix = `
                                fresh          started once         in flight            after final          cancelled     ended         released
client send_initial_metadata    OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK                   OK            OK            RELEASED
client send_message             OK             OK                   TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK            OK            RELEASED
client send_close_from_client   OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK            OK            RELEASED
client send_status_from_server  NOT_ON_CLIENT  NOT_ON_CLIENT        NOT_ON_CLIENT        NOT_ON_CLIENT        NOT_ON_CLIENT NOT_ON_CLIENT RELEASED
client recv_initial_metadata    OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK                   OK            OK            RELEASED
client recv_message             OK             OK                   TOO_MANY_OPERATIONS  OK                   OK            OK            RELEASED
client recv_status_on_client    OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK                   OK            TOO_MANY_OPERATIONS RELEASED
client recv_close_on_server     NOT_ON_CLIENT  NOT_ON_CLIENT        NOT_ON_CLIENT        NOT_ON_CLIENT        NOT_ON_CLIENT NOT_ON_CLIENT RELEASED
server send_initial_metadata    OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK            OK            RELEASED
server send_message             OK             OK                   TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK            OK            RELEASED
server send_close_from_client   NOT_ON_SERVER  NOT_ON_SERVER        NOT_ON_SERVER        NOT_ON_SERVER        NOT_ON_SERVER NOT_ON_SERVER RELEASED
server send_status_from_server  OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK            OK            RELEASED
server recv_initial_metadata    TOO_MANY_OPERATIONS TOO_MANY_OPERATIONS TOO_MANY_OPERATIONS TOO_MANY_OPERATIONS TOO_MANY_OPERATIONS TOO_MANY_OPERATIONS RELEASED
server recv_message             OK             OK                   TOO_MANY_OPERATIONS  OK                   OK            OK            RELEASED
server recv_status_on_client    NOT_ON_SERVER  NOT_ON_SERVER        NOT_ON_SERVER        NOT_ON_SERVER        NOT_ON_SERVER NOT_ON_SERVER RELEASED
server recv_close_on_server     OK             TOO_MANY_OPERATIONS  TOO_MANY_OPERATIONS  OK                   OK            TOO_MANY_OPERATIONS RELEASED
`

// matrixRow returns the row of startMatrix for an operation.
func matrixRow(t testing.TB, side string, op OpType) (want [matrixStates]CallError) {
	t.Helper()
	for line := range strings.SplitSeq(startMatrix, "\n") {
		f := strings.Fields(line)
		if len(f) != 2+matrixStates || f[0] != side || f[1] != op.String() {
			continue
		}
		for i, word := range f[2:] {
			want[i] = errorNamed(t, word)
		}
		return want
	}
	t.Fatalf("startMatrix has no row for %v on a %s", op, side)
	return want
}

// errorNamed returns the CallError whose symbol ends in word.
func errorNamed(t testing.TB, word string) CallError {
	t.Helper()
	for e, text := range callErrorTexts {
		name := text.symbol
		if strings.HasSuffix(name, "_CALL_"+word) || strings.HasSuffix(name, "_CALL_ERROR_"+word) {
			return e
		}
	}
	t.Fatalf("no CallError is named %q", word)
	return 0
}

// A matrixCall is one call, of which one end is looked at.
type matrixCall struct {
	*fixture
	side      string
	client    Call
	server    *RequestedCall
	cst       clientState
	served    *transport.Buffer
	cancelled bool
}

// newMatrixCall begins a call. A client that is looked at has started nothing
// and its server knows nothing of it.
func newMatrixCall(t testing.TB, side string) *matrixCall {
	s, q := newFixtureServer(t)
	m := &matrixCall{fixture: connectFixture(t, s, q), side: side}
	m.client = m.call(CallParams{})
	t.Cleanup(func() { m.client.Release() })
	if side == "server" {
		m.server = m.request("request")
		m.start(m.client, "begin", opSendHeaders())
		m.expect(m.cq, "begin", true)
		m.expect(m.scq, "request", true)
		t.Cleanup(func() { m.server.Call.Release(); m.served.Release() })
	}
	return m
}

// subject returns the end that is looked at, and its queue.
func (m *matrixCall) subject() (Call, *cq.Queue) {
	if m.side == "client" {
		return m.client, m.cq
	}
	return m.server.Call, m.scq
}

// op returns an operation for the end that is looked at.
func (m *matrixCall) op(op OpType) Op {
	switch op {
	case SendInitialMetadata:
		return opSendHeaders()
	case SendMessage:
		return opSend("x")
	case SendCloseFromClient:
		return opClose()
	case SendStatusFromServer:
		return opStatus(status.OK, "")
	case RecvInitialMetadata:
		return m.cst.opHeaders()
	case RecvMessage:
		return opRecv(&m.served)
	case RecvStatusOnClient:
		return m.cst.opStatus()
	default:
		return opCancelled(&m.cancelled)
	}
}

// run starts the operation at the subject and, if it is to end, has the other
// end of the call do what it takes. It does nothing if the side has no such
// operation.
func (m *matrixCall) run(op OpType, end bool) {
	c, q := m.subject()
	ops := []Op{m.op(op)}
	if m.side == "client" && op != SendInitialMetadata && end {
		ops = append(ops, opSendHeaders())
	}
	if m.side == "server" && op == SendMessage {
		ops = append(ops, opSendHeaders())
	}
	if m.side == "client" && end {
		m.server = m.request("request")
	}
	if e := c.StartBatch(ops, "first"); e != CallOK {
		ops[0].Message.Release()
		return // not on this side
	}
	if !end {
		return
	}
	if m.side == "client" {
		m.expect(m.scq, "request", true)
		defer m.server.Call.Release()
	}
	switch op {
	case RecvInitialMetadata:
		m.peer(opSendHeaders())
	case RecvMessage:
		if m.side == "client" {
			m.start(m.client, "headers", m.cst.opHeaders())
			m.peer(opSendHeaders(), opSend("y"))
			m.expectAll(m.cq, map[cq.Tag]bool{"headers": true, "first": true})
		} else {
			m.peer(opSend("y"))
			m.expect(q, "first", true)
		}
		m.served.Release()
		m.served = nil
		return
	case RecvStatusOnClient:
		m.peer(opStatus(status.OK, ""))
	case RecvCloseOnServer:
		m.start(c, "status", opStatus(status.OK, ""))
		m.expectAll(q, map[cq.Tag]bool{"status": true, "first": true})
		return
	}
	m.expect(q, "first", true)
}

// peer starts and awaits operations at the end that is not looked at.
func (m *matrixCall) peer(ops ...Op) {
	if m.side == "client" {
		m.start(m.server.Call, "peer", ops...)
		m.expect(m.scq, "peer", true)
	} else {
		m.start(m.client, "peer", ops...)
		m.expect(m.cq, "peer", true)
	}
}

// bring brings the call into the state.
func (m *matrixCall) bring(state int, op OpType) {
	c, q := m.subject()
	final, finalRecv := SendCloseFromClient, RecvStatusOnClient
	if m.side == "server" {
		final, finalRecv = SendStatusFromServer, RecvCloseOnServer
	}
	switch state {
	case wasStarted:
		m.run(op, true)
	case isInFlight:
		m.run(op, false)
	case afterFinal:
		m.start(c, "final", m.op(final))
		if m.side == "server" {
			m.expect(q, "final", true)
		}
	case isCancelled:
		c.Cancel()
	case hasEnded:
		m.start(c, "end", m.op(finalRecv))
		m.quiet(q)
		c.Cancel()
		m.expect(q, "end", true)
	case isReleased:
		c.Release()
	}
}

// TestStartBatchMatrix: every operation in every state of a call of either
// side, each cell with the exact error. What is refused posts no event, what is
// accepted posts one: the fixture counts them in the end.
func TestStartBatchMatrix(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		for op := range OpType(opTypes) {
			want := matrixRow(t, side, op)
			for state := range matrixStates {
				t.Run(fmt.Sprint(side, "/", op, "/", stateNames[state]), func(t *testing.T) {
					m := newMatrixCall(t, side)
					m.bring(state, op)
					c, _ := m.subject()
					o := m.op(op)
					got := c.StartBatch([]Op{o}, "cell")
					if got != want[state] {
						t.Errorf("StartBatch(%v) = %v, want %v", op, got, want[state])
					}
					if got != CallOK {
						o.Message.Release()
					}
				})
			}
		}
	}
}

// TestPairsOfOperations: all pairs in one batch, in both orders. A type twice
// is found first, then the status together with a receive, then the fault of
// the first operation that has one.
func TestPairsOfOperations(t *testing.T) {
	for _, side := range []string{"client", "server"} {
		for a := range OpType(opTypes) {
			for b := range OpType(opTypes) {
				t.Run(fmt.Sprint(side, "/", a, " ", b), func(t *testing.T) {
					first, second := matrixRow(t, side, a)[isFresh], matrixRow(t, side, b)[isFresh]
					want := first
					switch {
					case a == b:
						want = CallErrorTooManyOperations
					case side == "server" && min(a, b) == SendStatusFromServer && max(a, b) == RecvMessage:
						want = CallErrorFailed
					case first == CallOK:
						want = second
					}
					m := newMatrixCall(t, side)
					c, q := m.subject()
					before := c.c.state.Load()
					ops := []Op{m.op(a), m.op(b)}
					got := c.StartBatch(ops, "pair")
					if got != want {
						t.Errorf("StartBatch(%v, %v) = %v, want %v", a, b, got, want)
					}
					if got == CallOK {
						c.Cancel()
						ev := q.Next(testDeadline())
						if ev.Tag != "pair" {
							t.Errorf("event = %v %v", ev.Type, ev.Tag)
						}
						return
					}
					if now := c.c.state.Load(); now != before {
						t.Errorf("a refused batch changed the call's state from %b to %b", before, now)
					}
					for _, op := range ops {
						op.Message.Release()
					}
					m.quiet(q)
				})
			}
		}
	}
}

// TestFlags: each operation knows exactly these flags, on its own side.
func TestFlags(t *testing.T) {
	allowed := [opTypes]uint32{
		SendInitialMetadata: 0x20 | 0x80 | 0x100 | 0x4, // wait_for_ready, explicitly set, corked, write_through
		SendMessage:         0x1 | 0x2 | 0x4,           // buffer_hint, no_compress, write_through
		RecvMessage:         0x1000,                    // ours: FlagOnlyMessage
	}
	sides := [opTypes]string{SendStatusFromServer: "server", RecvCloseOnServer: "server"}
	for op := range OpType(opTypes) {
		side := sides[op]
		if side == "" {
			side = "client"
		}
		for bit := range 32 {
			flag := uint32(1) << bit
			m := newMatrixCall(t, side)
			c, _ := m.subject()
			o := m.op(op)
			o.Flags = flag
			want := CallOK
			if allowed[op]&flag == 0 {
				want = CallErrorInvalidFlags
			}
			got := c.StartBatch([]Op{o}, "flagged")
			if got != want {
				t.Errorf("StartBatch(%v with flag %#x) = %v, want %v", op, flag, got, want)
			}
			if got != CallOK {
				o.Message.Release()
			}
		}
	}
}
