package surfacetest

import (
	"context"
	"errors"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// shutdownCases end the server, softly or not.
func shutdownCases() []testCase {
	again := []Capability{ClientChannel}
	return []testCase{
		{file: "disappearing_server", name: "DisappearingServer", needs: again, test: disappearingServer},
		{file: "graceful_server_shutdown", name: "GracefulServerShutdown", test: gracefulServerShutdown},
		{file: "shutdown_finishes_calls", name: "EarlyServerShutdownFinishesInflightCalls", test: earlyShutdown},
		{file: "shutdown_finishes_tags", name: "ShutdownFinishesTags", test: shutdownFinishesTags},
		{file: "ours/shutdown", name: "ShutdownWaitsForCalls", test: shutdownWaitsForCalls},
		{file: "ours/shutdown", name: "ShutdownCutsCallsOff", test: shutdownCutsCallsOff},
		{file: "ours/shutdown", name: "ShutdownRefusesWaitingCalls", test: shutdownRefusesWaitingCalls},
		{file: "ours/shutdown", name: "EveryTagOfAShutdown", test: everyTagOfAShutdown},
		{file: "ours/shutdown", name: "ServersOneAfterAnother", needs: again, test: serversOneAfterAnother},
		{file: "ours/shutdown", name: "ChannelClosesWithCallsUnderWay", test: channelCloses},
	}
}

// accepted makes a call, with tag 1, that the server has accepted and not
// answered.
func (r *rig) accepted() (*clientCall, *serverCall) {
	r.Helper()
	c := r.call()
	c.start(1, sendHeaders(), sendClose(), c.recvHeaders(), c.recvStatus())
	s := r.request(101)
	r.verify(ok(101))
	return c, s
}

// disappearingServer: a server ends with a call under way, which ends well;
// the next server gets the next call.
func disappearingServer(r *rig) {
	oneCallAndEnd(r)
	r.startServer()
	oneCallAndEnd(r)
}

func oneCallAndEnd(r *rig) {
	c, s := r.accepted()
	r.shutdownAndNotify(1000)
	s.start(102, sendHeaders(), sendStatus(status.Unimplemented, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1), ok(1000))
	c.wantStatus(status.Unimplemented, "xyz")
	s.wantCancelled(false)
}

// gracefulServerShutdown: the end of the server waits for the call.
func gracefulServerShutdown(r *rig) {
	c, s := r.accepted()
	r.shutdownAndNotify(200)
	r.quiet()
	s.start(102, sendHeaders(), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(200), ok(1))
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
}

// earlyShutdown: a server that cannot wait cuts its calls off.
func earlyShutdown(r *rig) {
	c, s := r.accepted()
	s.start(102, s.recvClose())
	r.shutdownAndNotify(1000)
	r.server.CancelAllCalls()
	r.verify(ok(1000), ok(102), ok(1))
	c.wantCode(status.Unavailable)
	s.wantCancelled(true)
}

// shutdownFinishesTags: a request that no call will come for fails, and so
// does one that is posted too late.
func shutdownFinishesTags(r *rig) {
	s := r.request(101)
	r.shutdownAndNotify(1000)
	r.verify(fails(101), ok(1000))
	late := r.request(102)
	r.verify(fails(102))
	if s.Call.Valid() || late.Call.Valid() {
		r.Error("a request that failed has a call")
	}
}

// shutdown begins Shutdown; what it returns comes out of the channel.
func (r *rig) shutdown(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go r.runShutdown(ctx, done)
	return done
}

func (r *rig) runShutdown(ctx context.Context, done chan<- error) { done <- r.server.Shutdown(ctx) }

// shutdownWaitsForCalls: Shutdown returns when the last call has ended. A
// second one has nothing to wait for, and further calls find no server.
func shutdownWaitsForCalls(r *rig) {
	c, s := r.accepted()
	done := r.shutdown(context.Background())
	<-r.server.Draining()
	r.quiet()
	select {
	case err := <-done:
		r.Fatalf("Shutdown returned %v with a call under way", err)
	default:
	}
	s.start(102, sendHeaders(), sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1))
	c.wantStatus(status.OK, "xyz")
	if err := errors.Join(<-done, r.server.Shutdown(context.Background())); err != nil {
		r.Errorf("Shutdown: %v", err)
	}
	late := r.call()
	late.start(2, late.firstOps(6)...)
	r.verify(ok(2))
	late.wantCode(status.Unavailable)
}

// shutdownCutsCallsOff: when its context ends Shutdown waits no longer.
func shutdownCutsCallsOff(r *rig) {
	c, s := r.accepted()
	s.start(102, s.recvClose())
	end := time.Now().Add(short)
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	done := r.shutdown(ctx)
	r.verify(ok(102), ok(1))
	r.wantNow(end)
	c.wantCode(status.Unavailable)
	s.wantCancelled(true)
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		r.Errorf("Shutdown: %v, want the error of the context", err)
	}
}

// shutdownRefusesWaitingCalls: a call that nobody has asked for is refused.
func shutdownRefusesWaitingCalls(r *rig) {
	c, s := r.accepted()
	waiting := r.call()
	waiting.start(2, waiting.firstOps(6)...)
	r.quiet()
	r.shutdownAndNotify(1000)
	r.verify(ok(2))
	waiting.wantCode(status.Unavailable)
	s.start(102, sendStatus(status.OK, "xyz"), s.recvClose())
	r.verify(ok(102), ok(1), ok(1000))
	c.wantStatus(status.OK, "xyz")
}

// everyTagOfAShutdown: whoever wants to know of the end is told, before and
// after it.
func everyTagOfAShutdown(r *rig) {
	c, s := r.accepted()
	r.shutdownAndNotify(1000)
	r.shutdownAndNotify(1001)
	r.quiet()
	s.start(102, sendStatus(status.OK, ""), s.recvClose())
	r.verify(ok(102), ok(1), ok(1000), ok(1001))
	c.wantCode(status.OK)
	r.shutdownAndNotify(1002)
	r.verify(ok(1002))
}

// serversOneAfterAnother: a channel outlives its servers, which close without
// a warning. A call that waits for one to be ready goes to the next.
func serversOneAfterAnother(r *rig) {
	for range 3 {
		c := r.waitingCall()
		c.start(1, c.firstOps(6)...)
		s := r.request(101)
		r.verify(ok(101))
		s.start(102, s.recvMessage())
		r.verify(ok(102))
		s.start(103, s.recvClose())
		r.server.Close()
		r.verify(ok(1), ok(103))
		c.wantCode(status.Unavailable)
		s.wantCancelled(true)
		r.startServer()
	}
}

// channelCloses: a channel that is closed ends its calls; their handles stay
// good, and no call is made any more.
func channelCloses(r *rig) {
	c, s := r.accepted()
	s.start(102, s.recvClose())
	r.channel.Close()
	r.verify(ok(1), ok(102))
	c.wantCode(status.Canceled)
	s.wantCancelled(true)
	if _, err := r.channel.CreateCall(surface.CallParams{Method: method, Queue: r.queue}); status.CodeOf(err) != status.Canceled {
		r.Errorf("CreateCall on a closed channel: %v", err)
	}
}
