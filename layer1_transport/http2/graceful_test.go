package http2_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// A scripted is a connection whose other end is a script, in a bubble.
type scripted struct {
	*testing.T
	tr       transport.Transport
	acceptor *transporttest.Acceptor // of a server
	played   chan error
}

// against runs test on the end of a connection whose peer plays script. In the
// end the script must have been played to its end, and the bubble sees to it
// that no goroutine is left.
func against(t *testing.T, script string, test func(s *scripted)) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := memconn.Pipe()
		peer := framescript.MustParse("script", script)
		s := &scripted{T: t, played: make(chan error, 1)}
		go func() {
			record, err := peer.Run(context.Background(), theirs, framescript.Options{Limit: time.Minute})
			if err != nil {
				err = fmt.Errorf("%w\nthe record is %+v", err, record)
			}
			s.played <- err
		}()
		var err error
		if peer.IsServer() {
			s.tr, err = http2.Connect(t.Context(), ours, nil, http2.Config{})
		} else if s.tr, err = http2.Accept(t.Context(), ours, nil, http2.Config{}); err == nil {
			s.acceptor = transporttest.NewAcceptor(t, s.tr)
		}
		if err != nil {
			t.Fatal(err, <-s.played)
		}
		test(s)
		if err := <-s.played; err != nil {
			t.Error(err)
		}
		s.tr.Close()
	})
}

func (s *scripted) goaway() {
	s.tr.PerformOp(&transport.Op{Goaway: &transport.Goaway{Code: status.HTTP2NoError, Debug: "bye"}})
}

// finish ends a call of the server with OK.
func (s *scripted) finish(c *transporttest.Call) {
	if err := c.Batch().SendTrailers(transporttest.TrailersOnly(status.OK, "")).Start().WaitSent(); err != nil {
		s.Errorf("sending trailers: %v", err)
	}
	c.Release()
}

const (
	beginClient = "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS\nignore SETTINGS WINDOW_UPDATE\n"
	beginServer = "server\nsend SETTINGS\nanswer SETTINGS\nexpect PREFACE\nignore SETTINGS WINDOW_UPDATE\n"
	firstGoAway = "expect GOAWAY last=0x7fffffff code=NO_ERROR debug=bye\nexpect PING data=?ping -ACK\n"
)

// TestGracefulGoaway: a server says goodbye in two steps, and the answer to its
// PING is what it waits for between them. RFC 9113 §6.8.
func TestGracefulGoaway(t *testing.T) {
	against(t, beginClient+firstGoAway+`
expect nothing within=4s
send PING ACK data=$ping
expect GOAWAY last=0 code=NO_ERROR
await close`, func(s *scripted) { s.goaway() })
}

// TestRequestStartedBeforeFinalGoaway: what a client has sent before it knew is
// served, and the connection stays until it is.
func TestRequestStartedBeforeFinalGoaway(t *testing.T) {
	against(t, beginClient+firstGoAway+`
send HEADERS stream=1 END_STREAM request=/s/m
send PING ACK data=$ping
expect GOAWAY last=1 code=NO_ERROR
expect nothing within=10s
expect HEADERS stream=1 END_STREAM grpc-status=0
await close`, func(s *scripted) {
		s.goaway()
		c := s.acceptor.Accept()
		time.Sleep(20 * time.Second)
		s.finish(c)
	})
}

// TestRequestStartedAfterFinalGoawayIsIgnored: the client was told that it is
// not seen, and nothing is said about it any more.
func TestRequestStartedAfterFinalGoawayIsIgnored(t *testing.T) {
	against(t, beginClient+`
send HEADERS stream=1 END_STREAM request=/s/m
`+firstGoAway+`
send PING ACK data=$ping
expect GOAWAY last=1 code=NO_ERROR
send HEADERS stream=3 request=/s/m
send DATA stream=3 message=100
send RST_STREAM stream=3 code=CANCEL
expect nothing within=10s
expect HEADERS stream=1 END_STREAM grpc-status=0
await close`, func(s *scripted) {
		c := s.acceptor.Accept()
		s.goaway()
		time.Sleep(15 * time.Second)
		s.finish(c)
	})
}

// TestUnresponsiveClient: a client that does not answer the PING is not waited
// for: after five seconds, gRPC core has twenty, the second GOAWAY comes.
func TestUnresponsiveClient(t *testing.T) {
	against(t, beginClient+firstGoAway+`
expect nothing within=4990ms
expect GOAWAY last=0 code=NO_ERROR within=20ms
await close within=10ms`, func(s *scripted) { s.goaway() })
}

// TestGoawayReceivedOnServerDisconnect: a hard end is announced too, so that
// the client knows which calls it may try elsewhere.
func TestGoawayReceivedOnServerDisconnect(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(tr transport.Transport)
	}{
		{"disconnect", func(tr transport.Transport) {
			tr.PerformOp(&transport.Op{Disconnect: errors.New("the test has enough")})
		}},
		{"Close", func(tr transport.Transport) { tr.Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			against(t, beginClient+`
send HEADERS stream=1 END_STREAM request=/s/m
expect GOAWAY last=1 code=NO_ERROR
await close`, func(s *scripted) {
				c := s.acceptor.Accept()
				tc.end(s.tr)
				c.WaitGone()
			})
		})
	}
}

// TestCloseAfterFinalGoaway: a later GOAWAY does not name a later stream, also
// when one has come meanwhile that the client was told is not seen.
func TestCloseAfterFinalGoaway(t *testing.T) {
	against(t, beginClient+`
send HEADERS stream=1 END_STREAM request=/s/m
`+firstGoAway+`
send PING ACK data=$ping
expect GOAWAY last=1
send HEADERS stream=3 END_STREAM request=/s/m
expect GOAWAY last=1
await close`, func(s *scripted) {
		c := s.acceptor.Accept()
		s.goaway()
		synctest.Wait()
		s.tr.Close()
		c.WaitGone()
	})
}

// TestStreamsNotSeen: what a client learns about calls of which the server has
// seen nothing, by how far they have come. gRPC core's streams_not_seen.
func TestStreamsNotSeen(t *testing.T) {
	for _, tc := range []struct {
		name   string
		script string
		act    func(tr transport.Transport)
		want   transport.Progress
	}{
		{"StartStreamBeforeGoaway", "expect HEADERS stream=1\nawait DATA stream=1\nsend GOAWAY last=0\nawait close", nil, transport.ProgressNotSeen},
		{"StartStreamBeforeGoaway, and was seen", "expect HEADERS stream=1\nawait DATA stream=1\nsend GOAWAY last=1\nclose", nil, transport.ProgressUnknown},
		{"StartStreamAfterGoaway", "wait 500ms\nsend GOAWAY last=0\nawait close", waitASecond, transport.ProgressNotSent},
		{"TransportDestroyed", "await GOAWAY\nawait close", transport.Transport.Close, transport.ProgressNotSent},
		{"ZeroConcurrency, then GOAWAY", "send SETTINGS max_streams=0\nwait 10s\nsend GOAWAY last=0\nawait close", waitASecond, transport.ProgressNotSent},
		{"ZeroConcurrency, then the end", "send SETTINGS max_streams=0\nwait 10s\nclose", waitASecond, transport.ProgressNotSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			against(t, beginServer+tc.script, func(s *scripted) {
				if tc.act != nil {
					tc.act(s.tr)
				}
				c := transporttest.NewClientCall(t, s.tr)
				b := c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage([]byte("x")).HalfClose().RecvTrailers().Start()
				_, err := b.WaitTrailers()
				if got := transport.ProgressOf(err); status.CodeOf(err) != status.Unavailable || got != tc.want {
					t.Errorf("the call ended with %v and progress %d, want UNAVAILABLE and %d", err, got, tc.want)
				}
				c.WaitGone()
			})
		})
	}
}

func waitASecond(transport.Transport) {
	time.Sleep(time.Second) //bars:allow sleep it is called in the bubble of against
}

// TestGoawayWithSettings: a server that leaves as soon as it has greeted has not
// refused the connection, whoever is first: the reading goroutine, which closes
// it, or the one that waits for the SETTINGS. A server that fails has.
func TestGoawayWithSettings(t *testing.T) {
	for code, graceful := range map[frame.ErrCode]bool{frame.CodeNoError: true, frame.CodeInternal: false} {
		script := framescript.MustParse("script", fmt.Sprintf("server\nsend SETTINGS\nsend GOAWAY last=0 code=%v\nclose", code))
		refused := 0
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := memconn.Pipe()
				if _, err := script.Run(t.Context(), theirs, framescript.Options{}); err != nil {
					t.Fatal(err)
				}
				tr, err := http2.Connect(t.Context(), ours, nil, http2.Config{})
				if err != nil {
					if graceful {
						t.Fatalf("GOAWAY %v: the connection was refused: %v", code, err)
					}
					refused++
					return
				}
				defer tr.Close()
				if !graceful {
					return // it was found ready a moment before
				}
				c := transporttest.NewClientCall(t, tr)
				_, err = c.Batch().SendHeaders(transporttest.RequestHeaders()).HalfClose().RecvTrailers().Start().WaitTrailers()
				if status.CodeOf(err) != status.Unavailable || transport.ProgressOf(err) != transport.ProgressNotSent {
					t.Fatalf("a call ended with %v and progress %d, want UNAVAILABLE and not sent", err, transport.ProgressOf(err))
				}
				c.WaitGone()
			})
		}
		if !graceful && refused == 0 {
			t.Errorf("GOAWAY %v: the connection was never refused", code)
		}
	}
}
