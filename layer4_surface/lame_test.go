package surface

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/status"
	cq "github.com/strata-grpc/strata/layer3_cq"
)

// TestLameClient is gRPC core's lame_client_test: the event of the headers fails,
// that of the status succeeds and has what the channel was made with.
func TestLameClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const code, message = status.Unknown, "error message"
		q := newQueue(t)
		ch, err := NewLameChannel("lampoon:national", code, message)
		if err != nil {
			t.Fatal(err)
		}
		defer ch.Close()
		for _, try := range []bool{false, true} {
			if s := ch.State(try); s != connectivity.TransientFailure {
				t.Errorf("State(%t) = %v, want TRANSIENT_FAILURE", try, s)
			}
		}
		c, err := ch.CreateCall(CallParams{Method: "/Foo", Host: "anywhere", Queue: q, Deadline: time.Now().Add(100 * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		var st clientState
		if e := c.StartBatch([]Op{opSendHeaders(), st.opHeaders()}, 1); e != CallOK {
			t.Fatal(e)
		}
		wantEvent(t, q, 1, false, 0)
		if e := c.StartBatch([]Op{st.opStatus()}, 2); e != CallOK {
			t.Fatal(e)
		}
		wantEvent(t, q, 2, true, 0)
		st.wantStatus(t, code, message)
		if got := c.Peer().String(); got != "lame" {
			t.Errorf("the peer is %q, want lame", got)
		}
		if ch.Target() != "lampoon:national" {
			t.Errorf("Target = %q", ch.Target())
		}

		// Pings and watches fail.
		if e := ch.StartPing(q, 3); e != CallOK {
			t.Fatal(e)
		}
		wantEvent(t, q, 3, false, 0)
		startWatch(t, ch, connectivity.TransientFailure, time.Second, q, 4)
		wantEvent(t, q, 4, false, time.Second)
		if got := ch.Info(); got != (ChannelInfo{}) {
			t.Errorf("Info = %+v, want nothing", got)
		}
		ch.ResetBackoff()
		ch.EnterIdle()
		wantState(t, ch, connectivity.TransientFailure)
		startWatch(t, ch, connectivity.TransientFailure, time.Hour, q, 5)
		ch.Close()
		wantEvent(t, q, 5, true, 0)
		wantState(t, ch, connectivity.Shutdown)
	})
}

// TestChannelCreate is gRPC core's channel_create_test and secure_channel_create:
// what cannot work is an error that quotes it. Where gRPC core returns a lame
// channel, a program that wants one makes it from the error.
func TestChannelCreate(t *testing.T) {
	insecure := WithCredentials(credentials.NewInsecure())
	secure := WithCredentials(credentials.NewTLS(nil))
	named := WithCredentials(credentials.NewTLS(&tls.Config{ServerName: "b"}))
	for _, tc := range []struct {
		name, target string
		opts         []ChannelOption
		want         string
	}{
		{"test_unknown_scheme_target", "blah://blah", []ChannelOption{insecure}, `"blah://blah"`},
		{"test_unknown_scheme_target, secure", "blah://blah", []ChannelOption{secure}, `"blah://blah"`},
		{"test_unknown_scheme_target, by default", "blah", []ChannelOption{insecure, WithDefaultScheme("seance")}, `"seance"`},
		{"test_null_creds", "dns:///localhost", nil, "no credentials"},
		{"the target is empty", "", []ChannelOption{insecure}, "the target is empty"},
		{"the target has no host", "dns:///", []ChannelOption{insecure}, `"dns:///"`},
		{"the target has no address", "ipv4:", []ChannelOption{insecure}, `"ipv4:"`},
		{"the target has no socket", "unix-abstract:", []ChannelOption{insecure}, "unix-abstract"},
		{"the address is of the other family", "ipv6:127.0.0.1:80", []ChannelOption{insecure}, "127.0.0.1"},
		{"the authorities differ", "dns:///a", []ChannelOption{named, WithAuthority("a")}, `"a"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ch, err := NewChannel(tc.target, tc.opts...)
			if err == nil {
				ch.Close()
				t.Fatalf("NewChannel(%q) made a channel", tc.target)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("NewChannel(%q) = %v, want an error with %q", tc.target, err, tc.want)
			}
			lame, err := NewLameChannel(tc.target, status.Unavailable, err.Error())
			if err != nil {
				t.Fatal(err)
			}
			defer lame.Close()
			if st, _ := echo(t, lame, CallParams{}, "x"); st.Code != status.Unavailable || !strings.Contains(st.Message, tc.want) {
				t.Errorf("the lame channel's calls end with %v %q", st.Code, st.Message)
			}
		})
	}
	ch, err := NewChannel("dns:///localhost:1", secure)
	if err != nil || ch.State(false) != connectivity.Idle {
		t.Fatalf("a channel that is right: %v", err)
	}
	ch.Close()
	if ch.NumWatchers() != 0 || ch.WatchConnectivityState(connectivity.Idle, time.Time{}, new(cq.Queue), 1) != CallErrorCompletionQueueShutdown {
		t.Error("the zero queue takes a watch")
	}
}

// TestWithoutAQueueOrTransport: what is missing is an error, not a crash.
func TestWithoutAQueueOrTransport(t *testing.T) {
	if ch, err := NewDirectChannel(nil); err == nil || !strings.Contains(err.Error(), "without a transport") {
		t.Errorf("NewDirectChannel(nil) = %v, %v", ch, err)
	}
	ch, err := NewLameChannel("lampoon:national", status.Unknown, "error message")
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	if e := ch.WatchConnectivityState(connectivity.TransientFailure, time.Time{}, nil, 1); e != CallErrorFailed || ch.NumWatchers() != 0 {
		t.Errorf("a watch without a queue = %v, and %d watches wait", e, ch.NumWatchers())
	}
	if e := ch.StartPing(nil, 2); e != CallErrorFailed {
		t.Errorf("a ping without a queue = %v", e)
	}
}
