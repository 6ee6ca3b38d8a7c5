package http2

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A drainCall takes the one stream of a connection and owns it.
type drainCall struct{ st transport.Stream }

func (c *drainCall) Ref()      {}
func (c *drainCall) Unref()    {}
func (c *drainCall) Run(error) {}
func (c *drainCall) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	c.st = t.NewStream()
	c.st.Init(c, accepted)
}

// TestDrainEndsWithTheWriter: the last stream of a draining server may end in
// the goroutine that writes, when the socket takes more; the connection closes
// then as well, although nobody performs or sends anything any more.
func TestDrainEndsWithTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.PipeSize(64 << 10)
		s := &script{t: t, calls: map[string]*scriptCall{}}
		s.begin("client", nil) // whose encoder speaks for the peer
		go theirs.Write(append(append(frame.AppendSettings([]byte(frame.ClientPreface),
			frame.Setting{ID: frame.SettingInitialWindowSize, Val: 1 << 30}), frame.AppendWindowUpdate(nil, 0, 1<<30)...),
			s.frame("HEADERS", parseArgs([]string{"stream=1", "END_STREAM", ":method=POST", ":scheme=http", ":path=/s/m"}))...))
		tr, err := Accept(t.Context(), ours, nil, Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := &drainCall{}
		tr.PerformOp(&transport.Op{Accept: c})
		synctest.Wait()
		tr.PerformOp(&transport.Op{Goaway: &transport.Goaway{Debug: "bye"}})
		time.Sleep(2 * drainPingTime) // both GOAWAY frames are sent, and no timer is left
		var trailers metadata.List
		trailers.SetStatus(0, "")
		c.st.PerformBatch(&transport.StreamOpBatch{
			Ops: transport.OpsSend, OnComplete: c,
			SendInitialMetadata:  transport.SendInitialMetadata{MD: &metadata.List{Known: metadata.Known{HTTPStatus: "200"}}},
			SendMessage:          transport.SendMessage{Buf: transport.WrapBuffer(make([]byte, 3*highWater))},
			SendTrailingMetadata: transport.SendTrailingMetadata{MD: &trailers},
		})
		synctest.Wait() // it waits for the socket
		if !closes(theirs) {
			t.Error("an hour after its last stream ended the server has not closed the connection")
		}
		tr.Close()
		theirs.Close()
	})
}

// TestDrainDuringAccept: the second GOAWAY may come while a request is with the
// acceptor, when its stream is not there yet. It names the request, so that the
// connection stays for it, or until it is refused.
func TestDrainDuringAccept(t *testing.T) {
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) { drainDuringAccept(t, refused) })
	}
}

func drainDuringAccept(t *testing.T, refused bool) {
	ours, theirs := memconn.Pipe()
	s := &script{t: t, calls: map[string]*scriptCall{}}
	s.begin("client", nil) // whose encoder speaks for the peer
	go theirs.Write(append(frame.AppendSettings([]byte(frame.ClientPreface)), frame.AppendSettingsAck(nil)...))
	tr, err := Accept(t.Context(), ours, nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := &slowAcceptor{refuses: refused}
	tr.PerformOp(&transport.Op{Accept: c})
	tr.PerformOp(&transport.Op{Goaway: &transport.Goaway{Debug: "bye"}})
	time.Sleep(drainPingTime - time.Second)
	theirs.Write(s.frame("HEADERS", parseArgs([]string{"stream=1", "END_STREAM", ":method=POST", ":scheme=http", ":path=/s/m"})))
	time.Sleep(3 * time.Second)
	cn := tr.(*conn)
	cn.mu.Lock()
	closed := cn.s.control.closed != nil
	cn.mu.Unlock()
	if closed != refused {
		t.Errorf("the request is refused: %v; the connection is closed: %v", refused, closed)
	}
	tr.Close()
	theirs.Close()
}

// A slowAcceptor takes two seconds to take the stream, or to refuse it.
type slowAcceptor struct {
	drainCall
	refuses bool
}

func (c *slowAcceptor) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	time.Sleep(2 * time.Second)
	if !c.refuses {
		c.drainCall.AcceptStream(t, accepted)
	}
}

// closes reads all that comes and reports whether it ends within an hour.
func closes(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(time.Hour))
	_, err := io.Copy(io.Discard, nc)
	return err == nil
}

// TestEndedHere: an end that nobody gave a reason for does not announce one.
func TestEndedHere(t *testing.T) {
	if got := endedHere(""); got != "connection ended by this side" {
		t.Errorf("endedHere without a reason = %q", got)
	}
	if got := endedHere("bye"); got != "connection ended by this side: bye" {
		t.Errorf("endedHere = %q", got)
	}
}
