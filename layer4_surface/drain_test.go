package surface

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestGoAwayHasTwoSteps: a client that is connected is told first that the
// server will take no more calls, and then which it has seen. Its calls of
// before and between the two are answered; then the connection ends.
func TestGoAwayHasTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		e := newEchoServer(t, WithLogger(quietLogger()))
		served := make(chan error, 1)
		go func() { served <- e.server.Serve(lis) }()
		nc, err := lis.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		script := framescript.MustParse("drain.txt", `
client
send PREFACE
send SETTINGS
answer SETTINGS
send HEADERS stream=1 request=/echo/Echo
await GOAWAY last=2147483647 code=NO_ERROR debug="the server is shutting down"
expect PING data=?drain
send HEADERS stream=3 request=/echo/Echo
send DATA stream=3 message=1 END_STREAM
await HEADERS stream=3 END_STREAM grpc-status=0
send PING ACK data=$drain
expect GOAWAY last=3 code=NO_ERROR
# What comes after that is not looked at; nor does the connection end before
# the call that is under way.
send HEADERS stream=5 request=/echo/Echo
send DATA stream=5 message=1 END_STREAM
expect nothing within=1h
send DATA stream=1 message=1 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0
await close
count HEADERS max=4
`)
		ended := make(chan error, 1)
		go func() {
			time.Sleep(time.Second)
			start := time.Now()
			err := e.server.Shutdown(t.Context())
			if got := time.Since(start); got != time.Hour {
				t.Errorf("Shutdown took %v, want 1h", got)
			}
			ended <- err
		}()
		if _, err := script.Run(t.Context(), nc, framescript.Options{}); err != nil {
			t.Error(err)
		}
		if err := errors.Join(<-ended, <-served); err != nil {
			t.Error(err)
		}
	})
}

// TestSilentClientsDoNotHoldTheEnd: a client that answers nothing has 5 s for
// the PING between the two GOAWAYs.
func TestSilentClientsDoNotHoldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis := memconn.Listen()
		s, _ := newFixtureServer(t, WithLogger(quietLogger()))
		served := make(chan error, 1)
		go func() { served <- s.Serve(lis) }()
		var clients sync.WaitGroup
		for range 3 {
			nc, err := lis.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			clients.Go(func() {
				_, err := framescript.MustParse("silent.txt", "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS\nlimit 1h\nawait close\n").
					Run(t.Context(), nc, framescript.Options{})
				if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("Shutdown took %v, want 5s", got)
		}
		<-served
		clients.Wait()
	})
}

// TestShutdownSaysWhatItWaitsFor: once a second, for those who look.
func TestShutdownSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged lockedBuffer
		f := newLifeFixture(t, lifeServing, WithLogger(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		defer f.close()
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		if err := f.s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown = %v", err)
		}
		const line = `msg="surface: waiting for the server to end" listeners=0 connections=1 peer=mem:client`
		if got := logged.String(); strings.Count(got, line) != 3 {
			t.Errorf("want three lines with\n%s\ngot\n%s", line, got)
		}
	})
}

// TestManyShutdowns: all of them return, when it is over; the first ctx to end
// cuts off for all.
func TestManyShutdowns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLifeFixture(t, lifeServing)
		defer f.close()
		start := time.Now()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+3)*time.Second)
				defer cancel()
				err := f.s.Shutdown(ctx)
				if cut := errors.Is(err, context.DeadlineExceeded); cut != (i == 0) || (err != nil) != cut {
					t.Errorf("Shutdown %d = %v", i, err)
				}
				if got := time.Since(start); got != 3*time.Second {
					t.Errorf("Shutdown %d took %v, want 3s", i, got)
				}
			})
		}
		synctest.Wait()
		select {
		case <-f.s.Draining():
		default:
			t.Error("nobody is told that the server drains")
		}
		all.Wait()
		if err := f.s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown afterwards = %v", err)
		}
		synctest.Wait()
		f.st.wantStatus(t, status.Unavailable, "")
	})
}

// TestShutdownWithAContextThatHasEnded: nothing is waited for, and the error
// says why; a server that has nothing to wait for returns none.
func TestShutdownWithAContextThatHasEnded(t *testing.T) {
	cause := errors.New("no time at all")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	for _, state := range []serverState{lifeNew, lifeStarted, lifeServing, lifeDraining, lifeShutDown} {
		synctest.Test(t, func(t *testing.T) {
			f := newLifeFixture(t, state)
			defer f.close()
			start := time.Now()
			err := f.s.Shutdown(ctx)
			if cut := state == lifeServing || state == lifeDraining; cut != errors.Is(err, cause) || !cut && err != nil {
				t.Errorf("Shutdown of a server that is %s = %v", serverStateNames[state], err)
			}
			if got := time.Since(start); got != 0 {
				t.Errorf("Shutdown of a server that is %s took %v", serverStateNames[state], got)
			}
		})
	}
}

// TestShutdownRacesWithServe: wherever Serve is when the server ends, it
// returns, its listener is closed, and nothing is left.
func TestShutdownRacesWithServe(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newFixtureServer(t, WithLogger(quietLogger()))
			lis := memconn.Listen()
			var all sync.WaitGroup
			all.Go(func() {
				if err := s.Serve(lis); err != nil && !errors.Is(err, ErrServerClosed) {
					t.Errorf("Serve = %v", err)
				}
				if _, err := lis.Accept(); err == nil {
					t.Error("Serve has returned and the listener is open")
				}
			})
			for range 3 {
				all.Go(func() {
					nc, err := lis.Dial(t.Context())
					if err != nil {
						return
					}
					if tr, err := http2.Connect(t.Context(), nc, nil, http2.Config{}); err == nil {
						tr.Close()
					}
				})
			}
			all.Go(func() {
				if err := s.Shutdown(t.Context()); err != nil {
					t.Errorf("Shutdown = %v", err)
				}
			})
			all.Wait()
			if n := s.accepted.Load(); n != 0 {
				t.Errorf("%d connections are counted after the end", n)
			}
		})
	}
}

// TestNewConnectionRacesWithShutdown: a connection that comes as the server
// shuts down is refused or ends with it, on either transport.
func TestNewConnectionRacesWithShutdown(t *testing.T) {
	pairs := map[string]func() (client func() transport.Transport, server transport.Transport){
		"inproc": func() (func() transport.Transport, transport.Transport) {
			client, server := inproc.Pair(inproc.Config{})
			return func() transport.Transport { return client }, server
		},
		"http2": func() (func() transport.Transport, transport.Transport) {
			c, nc := memconn.Pipe()
			made := make(chan transport.Transport, 1)
			go func() {
				tr, _ := http2.Connect(context.Background(), c, nil, http2.Config{})
				made <- tr
			}()
			server, err := http2.Accept(context.Background(), nc, nil, http2.Config{})
			if err != nil {
				panic(err)
			}
			return func() transport.Transport { return <-made }, server
		},
	}
	for name, pair := range pairs {
		t.Run(name, func(t *testing.T) {
			for i := range 200 {
				synctest.Test(t, func(t *testing.T) {
					s, _ := newFixtureServer(t)
					client, server := pair()
					var all sync.WaitGroup
					all.Go(func() {
						if err := s.ServeTransport(server); err != nil && !errors.Is(err, ErrServerClosed) {
							t.Errorf("ServeTransport = %v", err)
						}
					})
					all.Go(func() {
						if i%2 == 0 {
							s.Close()
						} else if err := s.Shutdown(t.Context()); err != nil {
							t.Errorf("Shutdown = %v", err)
						}
					})
					all.Wait()
					if n := len(s.life.Members()); n != 0 {
						t.Errorf("%d connections are left", n)
					}
					if c := client(); c != nil {
						c.Close()
					}
				})
			}
		})
	}
}

// TestShutdownFromACallback: where Shutdown would wait for itself,
// ShutdownAndNotify begins the end.
func TestShutdownFromACallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newLifeFixture(t, lifeServing)
		defer f.close()
		over := make(chan bool, 1)
		begin := functorFunc(func(bool) {
			f.s.ShutdownAndNotify(cq.New(cq.Callback, cq.Config{}), functorFunc(func(ok bool) { over <- ok }))
		})
		if e := f.req.Call.StartBatchAndExecute([]Op{opCancelled(nil)}, begin); e != CallOK {
			t.Fatal(e)
		}
		f.call.Cancel()
		if !<-over {
			t.Error("the end was told of as a failure")
		}
	})
}

// connectBy joins a channel to s by the named transport, in a bubble.
func connectBy(t *testing.T, s *Server, name string, opts ...ChannelOption) *Channel {
	t.Helper()
	if name == "inproc" {
		client, server := inproc.Pair(inproc.Config{})
		if err := s.ServeTransport(server); err != nil {
			t.Fatal(err)
		}
		ch, err := NewDirectChannel(client, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return ch
	}
	lis := memconn.Listen()
	go s.Serve(lis)
	return newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, opts...)
}

// TestShutdownFromAHandler: a goroutine that has a call to answer and shuts the
// server down first waits for itself until the context ends. With the answer
// given before, it waits for others only.
func TestShutdownFromAHandler(t *testing.T) {
	for _, answered := range []bool{false, true} {
		t.Run(fmt.Sprintf("answered %t", answered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newLifeFixture(t, lifeServing)
				defer f.close()
				if answered {
					f.req.Call.StartBatch([]Op{opStatus(status.OK, "bye")}, "status")
					f.req.Call.Pluck("status", nil)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				err := f.s.Shutdown(ctx)
				if waited := time.Since(start); answered && (err != nil || waited != 0) || !answered && (!errors.Is(err, context.DeadlineExceeded) || waited != time.Second) {
					t.Errorf("Shutdown = %v after %v", err, waited)
				}
				synctest.Wait()
				if want := map[bool]status.Code{true: status.OK, false: status.Unavailable}[answered]; f.st.status.Code != want {
					t.Errorf("the client's status is %v, want %v", f.st.status.Code, want)
				}
			})
		})
	}
}

// TestDeafClientsDoNotHoldEachOther: clients that read nothing, so that not
// even a GOAWAY can be written, are given up together.
func TestDeafClientsDoNotHoldEachOther(t *testing.T) {
	took := func(clients int) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			lis := memconn.ListenSize(64) // what each direction holds
			s, _ := newFixtureServer(t, WithLogger(quietLogger()))
			served := make(chan error, 1)
			go func() { served <- s.Serve(lis) }()
			var conns []net.Conn
			for range clients {
				nc, err := lis.Dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := nc.Write(frame.AppendSettings([]byte(frame.ClientPreface))); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, nc)
			}
			synctest.Wait()
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			d = time.Since(start)
			<-served
			for _, nc := range conns {
				nc.Close()
			}
		})
		return d
	}
	one := took(1)
	if one == 0 || one > 30*time.Second {
		t.Errorf("one deaf client held the end for %v", one)
	}
	if ten := took(10); ten != one {
		t.Errorf("ten deaf clients held the end for %v, one for %v", ten, one)
	}
}
