package surface

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
)

// TestStandardStacks: the five stacks with their own top and bottom, as a trace has
// them, over HTTP/2 and in the process, with nothing configured and with every
// filter that options add.
func TestStandardStacks(t *testing.T) {
	channelOpts := []ChannelOption{WithFaultInjection(faultinjection.Config{AbortCode: status.Internal, AbortPercent: 1, Rand: func() float64 { return 0.5 }})}
	serverOpts := []ServerOption{
		WithServerAuth(serverauth.Config{Process: func(context.Context, *serverauth.Request) error { return nil }}),
		WithLimit(limit.Config{MaxConcurrent: 1}),
		WithMaxConnectionAge(time.Hour, 0),
	}
	for _, tc := range []struct {
		name     string
		run      func(t *testing.T, c []ChannelOption, s []ServerOption)
		channel  []ChannelOption
		server   []ServerOption
		expected []string
	}{
		{"HTTP/2", overHTTP2, nil, nil, []string{
			"CLIENT_CHANNEL client_idle client_channel",
			"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected",
			"SERVER server message_size deadline http_server compression connected"}},
		{"HTTP/2, with all options", overHTTP2, channelOpts, serverOpts, []string{
			"CLIENT_CHANNEL client_idle fault_injection client_channel",
			"CLIENT_SUBCHANNEL authority client_auth message_size http_client compression connected",
			"SERVER server server_auth limit max_age message_size deadline http_server compression connected"}},
		{"one connection", overOneConnection, nil, nil, []string{
			"CLIENT_DIRECT authority client_auth message_size deadline connected",
			"SERVER server message_size deadline connected"}},
		{"one connection, with all options", overOneConnection, channelOpts, serverOpts, []string{
			"CLIENT_DIRECT fault_injection authority client_auth message_size deadline connected",
			"SERVER server server_auth limit max_age message_size deadline connected"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := trace.NewRecorder(trace.LevelEvents)
				tc.run(t, append(tc.channel, WithTrace(rec.Endpoint("client", "server"))), append(tc.server, WithTrace(rec.Endpoint("server", "client"))))
				var got []string
				for _, e := range rec.Events() {
					if e.Op == "stack.build" {
						got = append(got, e.Text)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, tc.expected) {
					t.Errorf("the stacks are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.expected, "\n"))
				}
			})
		})
	}
	lame, err := NewLameChannel("nowhere", status.Unavailable, "no")
	if err != nil {
		t.Fatal(err)
	}
	defer lame.Close()
	if got := lame.String(); got != "nowhere LAME lame" {
		t.Errorf("the lame channel is %q", got)
	}
}

// overHTTP2 makes a call of a channel with a name.
func overHTTP2(t *testing.T, c []ChannelOption, s []ServerOption) {
	lis := memconn.Listen()
	e := newEchoServer(t, append(s, WithLogger(quietLogger()))...)
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(lis) }()
	ch := newMemChannel(t, func(ctx context.Context, _, _ string) (net.Conn, error) { return lis.Dial(ctx) }, c...)
	if st, _ := echo(t, ch, CallParams{}, "x"); st.Code != status.OK {
		t.Errorf("the call ended with %v %q", st.Code, st.Message)
	}
	ch.Close()
	e.server.Close()
	<-served
}

// overOneConnection makes a call in the process.
func overOneConnection(t *testing.T, c []ChannelOption, s []ServerOption) {
	client, server := inproc.Pair(inproc.Config{})
	e := newEchoServer(t, append(s, WithLogger(quietLogger()))...)
	if err := e.server.ServeTransport(server); err != nil {
		t.Fatal(err)
	}
	ch, err := NewDirectChannel(client, c...)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := echo(t, ch, CallParams{}, "x"); st.Code != status.OK {
		t.Errorf("the call ended with %v %q", st.Code, st.Message)
	}
	ch.Close()
	e.server.Close()
}
