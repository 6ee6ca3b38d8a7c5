package surface

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// A serverState is a state of a server's life.
type serverState int

const (
	lifeNew serverState = iota
	lifeStarted
	lifeServing  // with a call that does not end
	lifeDraining // the same, and ShutdownAndNotify was called
	lifeShutDown // the same, and Close was called
	serverStates
)

var serverStateNames = [serverStates]string{"not started", "started", "serving", "draining", "shut down"}

// A lifeFixture is a server that was brought into a state, in a bubble.
type lifeFixture struct {
	t       *testing.T
	s       *Server
	q       *cq.Queue // registered
	method  *RegisteredMethod
	channel *Channel
	call    Call // of the client
	req     RequestedCall
	st      clientState
	counter *countingFilter
	served  []chan error
}

func newLifeFixture(t *testing.T, state serverState, opts ...ServerOption) *lifeFixture {
	f := &lifeFixture{t: t, counter: new(countingFilter)}
	f.s, f.q = newFixtureServer(t, append([]ServerOption{WithLogger(quietLogger()),
		WithFilter(stacks.Extra{Filter: f.counter, After: []string{"server"}, Before: []string{"message_size"}})}, opts...)...)
	f.method, _ = f.s.RegisterMethod("/registered/bar", "", PayloadNone)
	if state == lifeStarted {
		f.s.Start()
	}
	if state < lifeServing {
		return f
	}
	lis := memconn.Listen()
	f.serve(lis)
	f.channel = newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) })
	synctest.Wait()
	if e := f.s.RequestCall(&f.req, nil, f.q, "call"); e != CallOK {
		t.Fatal(e)
	}
	f.call, _ = f.channel.CreateCall(CallParams{Method: "/a/b"})
	f.call.StartBatch([]Op{opSendHeaders(), f.st.opStatus()}, "end")
	if ev := f.q.Next(time.Time{}); ev.Tag != "call" || !ev.Success {
		t.Fatal(ev)
	}
	switch state {
	case lifeDraining:
		f.s.ShutdownAndNotify(f.q, "down")
	case lifeShutDown:
		f.s.Close()
	}
	synctest.Wait()
	return f
}

// serve serves lis on a goroutine that close waits for.
func (f *lifeFixture) serve(lis net.Listener) chan error {
	served := make(chan error, 1)
	f.served = append(f.served, served)
	go func() {
		err := f.s.Serve(lis)
		served <- err
		close(served)
	}()
	return served
}

// close ends everything. The bubble sees to it that no goroutine is left.
func (f *lifeFixture) close() {
	f.s.Close()
	if f.channel != nil {
		f.channel.Close()
	}
	for _, served := range f.served {
		<-served
	}
	f.call.Release()
	f.req.Call.Release()
	f.q.Shutdown()
	for f.q.Next(time.Time{}).Type != cq.QueueShutdown {
	}
	if begun, ended := f.counter.counts(); begun != ended {
		f.t.Errorf("%d calls were begun, and %d came back to their pool", begun, ended)
	}
}

// events lists what is in the queue.
func (f *lifeFixture) events() string {
	synctest.Wait()
	var list []string
	for ev := f.q.TryNext(); ev.Type == cq.OpComplete; ev = f.q.TryNext() {
		list = append(list, fmt.Sprintf("%v %t", ev.Tag, ev.Success))
	}
	return strings.Join(list, ", ")
}

// result is the text of an error, or ok.
func result(err error, ok string) string {
	if err != nil {
		return err.Error()
	}
	return ok
}

// serverActions are what a program does with a server. Each says what came of it.
var serverActions = map[string]func(f *lifeFixture) string{
	"Start": func(f *lifeFixture) string {
		f.s.Start()
		return fmt.Sprint("started ", f.s.started.Load())
	},
	"Serve": func(f *lifeFixture) string {
		lis := memconn.Listen()
		served := f.serve(lis)
		synctest.Wait()
		nc, dialErr := lis.Dial(f.t.Context())
		if dialErr == nil {
			nc.Close()
		}
		select {
		case err := <-served:
			return fmt.Sprintf("%v; listening %t", err, dialErr == nil)
		default:
			return fmt.Sprintf("serves; listening %t", dialErr == nil)
		}
	},
	"ServeTransport": func(f *lifeFixture) string {
		client, server := inproc.Pair(inproc.Config{})
		defer client.Close()
		return result(f.s.ServeTransport(server), "serves")
	},
	"RegisterMethod": func(f *lifeFixture) string {
		_, err := f.s.RegisterMethod("/a/new", "host", PayloadNone)
		return result(err, "ok")
	},
	"RegisterCompletionQueue": func(f *lifeFixture) string {
		return result(f.s.RegisterCompletionQueue(cq.New(cq.Next, cq.Config{Name: "late"})), "ok")
	},
	"RequestCall": func(f *lifeFixture) string {
		e := f.s.RequestCall(new(RequestedCall), nil, f.q, "request")
		return e.String() + "; " + f.events()
	},
	"RequestRegisteredCall": func(f *lifeFixture) string {
		e := f.s.RequestRegisteredCall(f.method, new(RequestedCall), nil, f.q, "request")
		return e.String() + "; " + f.events()
	},
	"SetBatchMethodAllocator": func(f *lifeFixture) string {
		return result(f.s.SetBatchMethodAllocator(cq.New(cq.Callback, cq.Config{}), newAllocator(0)), "ok")
	},
	"SetRegisteredMethodAllocator": func(f *lifeFixture) string {
		return result(f.s.SetRegisteredMethodAllocator(f.method, cq.New(cq.Callback, cq.Config{}), newAllocator(0)), "ok")
	},
	"Shutdown": func(f *lifeFixture) string {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := f.s.Shutdown(ctx)
		return fmt.Sprintf("%v after %v; %s", err, time.Since(start), f.events())
	},
	"ShutdownAndNotify": func(f *lifeFixture) string {
		e := f.s.ShutdownAndNotify(f.q, "too")
		return e.String() + "; " + f.events()
	},
	"CancelAllCalls": func(f *lifeFixture) string {
		f.s.CancelAllCalls()
		return f.events()
	},
	"Close": func(f *lifeFixture) string {
		start := time.Now()
		f.s.Close()
		return fmt.Sprintf("after %v; %s", time.Since(start), f.events())
	},
}

const (
	tooLate  = ": the server has started"
	cutOff   = "surface: calls did not end in time, so connections were cut off (1): context deadline exceeded after 1m0s; "
	noQueue  = `surface: registering queue "late"` + tooLate
	noMethod = `surface: registering method "/a/new" for host "host"` + tooLate
	noAlloc  = "surface: setting the allocator of methods that are not registered" + tooLate
	noAllocR = `surface: setting the allocator of method "/registered/bar"` + tooLate
	noServe  = "surface: the listener on mem:listener is not served: the server is shutting down; listening false"
	noTransp = "surface: the connection from inproc is not served: the server is shutting down"
)

// serverCells is what each action does in each state: the states in their order.
var serverCells = map[string][serverStates]string{
	"Start":                        {"started true", "started true", "started true", "started true", "started true"},
	"Serve":                        {"serves; listening true", "serves; listening true", "serves; listening true", noServe, noServe},
	"ServeTransport":               {"serves", "serves", "serves", noTransp, noTransp},
	"RegisterMethod":               {"ok", noMethod, noMethod, noMethod, noMethod},
	"RegisterCompletionQueue":      {"ok", noQueue, noQueue, noQueue, noQueue},
	"RequestCall":                  {"GRPC_CALL_ERROR; ", "GRPC_CALL_OK; ", "GRPC_CALL_OK; ", "GRPC_CALL_OK; request false", "GRPC_CALL_OK; request false"},
	"RequestRegisteredCall":        {"GRPC_CALL_ERROR; ", "GRPC_CALL_OK; ", "GRPC_CALL_OK; ", "GRPC_CALL_OK; request false", "GRPC_CALL_OK; request false"},
	"SetBatchMethodAllocator":      {"ok", noAlloc, noAlloc, noAlloc, noAlloc},
	"SetRegisteredMethodAllocator": {"ok", noAllocR, noAllocR, noAllocR, noAllocR},
	"Shutdown":                     {"<nil> after 0s; ", "<nil> after 0s; ", cutOff, cutOff + "down true", "<nil> after 0s; "},
	"ShutdownAndNotify":            {"GRPC_CALL_OK; too true", "GRPC_CALL_OK; too true", "GRPC_CALL_OK; ", "GRPC_CALL_OK; ", "GRPC_CALL_OK; too true"},
	"CancelAllCalls":               {"", "", "", "down true", ""},
	"Close":                        {"after 0s; ", "after 0s; ", "after 0s; ", "after 0s; down true", "after 0s; "},
}

// TestServerStates does everything in every state.
func TestServerStates(t *testing.T) {
	for name, act := range serverActions {
		for state := range serverStates {
			t.Run(name+" when "+serverStateNames[state], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newLifeFixture(t, state)
					defer f.close()
					if got, want := act(f), serverCells[name][state]; got != want {
						t.Errorf("got  %q\nwant %q", got, want)
					}
				})
			})
		}
	}
	if len(serverCells) != len(serverActions) {
		t.Error("an action has no cells")
	}
}
