package surface

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// channelEventsOf lists what rec has of a channel: its own events and those of the
// client_channel, without the calls'.
func channelEventsOf(rec *trace.Recorder) []string {
	var got []string
	for _, r := range rec.Events() {
		if r.Component == "channel" || r.Component == "client_channel" {
			failed := ""
			if r.Err != nil {
				failed = "!"
			}
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s%s", r.Component, r.Op, r.Text, failed)))
		}
	}
	return got
}

// TestTraceOfAChannel: the life of a channel in its events, each kind of the list
// at tracer among them.
func TestTraceOfAChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.NewRecorder(trace.LevelEvents)
		b := newSwitchboard(t)
		ch := b.channel(WithTrace(rec.Endpoint("client", "")))
		b.set(refusesToConnect)
		ch.State(true)
		synctest.Wait()
		b.set(accepts)
		ch.ResetBackoff()
		synctest.Wait()
		wantCode(t, ch, CallParams{}, status.OK)
		ch.EnterIdle()
		synctest.Wait()
		ch.Close()
		ch.Close() // is no second event
		want := []string{
			"channel channel.create passthrough:///echo.example:443",
			"client_channel connectivity IDLE to CONNECTING",
			"client_channel resolver.update [echo.example:443]",
			"client_channel subchannel.connect echo.example:443!",
			"client_channel connectivity CONNECTING to TRANSIENT_FAILURE!",
			"client_channel subchannel.connect echo.example:443",
			"client_channel connectivity TRANSIENT_FAILURE to READY",
			"client_channel lb.pick complete echo.example:443",
			"client_channel connectivity READY to IDLE",
			"channel channel.close passthrough:///echo.example:443",
			"client_channel connectivity IDLE to SHUTDOWN!",
		}
		if got := channelEventsOf(rec); !slices.Equal(got, want) {
			t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestTraceOfADirectChannel: a channel that is one connection has no balancer
// that would tell of its states.
func TestTraceOfADirectChannel(t *testing.T) {
	rec := trace.NewRecorder(trace.LevelEvents)
	client, server := inproc.Pair(inproc.Config{})
	ch, err := NewDirectChannel(client, WithTrace(rec.Endpoint("client", "")))
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	ch.Close()
	want := []string{
		"channel channel.create inproc:inproc",
		"channel connectivity IDLE to READY",
		"channel connectivity READY to SHUTDOWN!",
		"channel channel.close inproc:inproc",
	}
	if got := channelEventsOf(rec); !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
