package security

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
	surface "github.com/strata-grpc/strata/layer4_surface"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
)

// A token is credentials of a call that send fields.
type token struct {
	fields map[string]string
	secret bool
}

func (t token) GetRequestMetadata(_ context.Context, uri ...string) (map[string]string, error) {
	fields := map[string]string{"x-uri": strings.Join(uri, " ")}
	for k, v := range t.fields {
		fields[k] = v
	}
	return fields, nil
}

func (t token) RequireTransportSecurity() bool { return t.secret }

// asking is a filter that uses credentials in the way that package credentials
// has in mind: is the connection safe enough, what do they have to send.
type asking struct{ creds credentials.PerRPCCredentials }

func (asking) Name() string { return "asking" }

func (f asking) NewChannel(args *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	return &askingChannel{callstack.ChannelBase{Next: next}, f.creds, args.Transport.Peer().AuthInfo}, nil
}

type askingChannel struct {
	callstack.ChannelBase
	creds credentials.PerRPCCredentials
	auth  credentials.AuthInfo
}

func (ch *askingChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &askingCall{callstack.CallBase{Next: next}, ch}
}

type askingCall struct {
	callstack.CallBase
	ch *askingChannel
}

func (c *askingCall) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		if err := c.ask(b.SendInitialMetadata.MD); err != nil {
			callstack.Cancel(c.Next, err)
		}
	}
	c.Next.StartBatch(b)
}

func (c *askingCall) ask(md *metadata.List) error {
	if err := credentials.CheckPerRPC(c.ch.creds, c.ch.auth); err != nil {
		return err
	}
	fields, err := c.ch.creds.GetRequestMetadata(context.Background(), credentials.RequestURI(md.Authority, md.Path))
	credentials.AppendRequestMetadata(md, fields)
	return err
}

// rawCall makes a call without stubs, with an empty message.
func rawCall(ch *surface.Channel) error {
	c, err := ch.CreateCall(surface.CallParams{Method: unaryMethod, Deadline: time.Now().Add(patience)})
	if err != nil {
		return err
	}
	defer c.Release()
	var reply *transport.Buffer
	var trailers metadata.List
	var end surface.CallStatus
	if e := c.StartBatch([]surface.Op{
		{Type: surface.SendInitialMetadata}, {Type: surface.SendMessage, Message: transport.WrapBuffer(nil)}, {Type: surface.SendCloseFromClient},
		{Type: surface.RecvInitialMetadata}, {Type: surface.RecvMessage, RecvMessage: &reply},
		{Type: surface.RecvStatusOnClient, RecvMetadata: &trailers, StatusResult: &end},
	}, "call"); e != surface.CallOK {
		return e
	}
	c.Pluck("call", nil)
	reply.Release()
	return end.AsError(&trailers)
}

// TestTokens: credentials of a call go out on connections that are safe enough
// and on no others, and what they return is checked like everything else.
func TestTokens(t *testing.T) {
	ca := newIssuer(t)
	type row struct {
		name         string
		tls          bool
		creds        token
		code         status.Code
		says         string
		wantsOnWire  bool // plain text only
		authorizes   string
		headerFrames int
	}
	rows := []row{
		{name: "a secret over TLS", tls: true, creds: token{map[string]string{"Authorization": "SECRET"}, true}, authorizes: "SECRET"},
		{name: "a secret over plain text", creds: token{map[string]string{"authorization": "SECRET"}, true}, code: status.Unauthenticated,
			says: `need a connection of security level PrivacyAndIntegrity, and this one has NoSecurity (transport credentials "insecure")`},
		{name: "no secret over plain text", creds: token{map[string]string{"authorization": "SECRET."}, false}, authorizes: "SECRET.", wantsOnWire: true, headerFrames: 1},
	}
	for _, f := range forbidden {
		key := f.key
		if f.leftOut || key == "" || key != strings.ToLower(key) {
			continue
		}
		rows = append(rows, row{name: f.name, creds: token{map[string]string{key: f.value}, false}, code: status.Internal, says: "metadata key"})
	}
	for _, tc := range rows {
		t.Run(strings.ReplaceAll(tc.name, " ", "_"), func(t *testing.T) {
			lis, wire := listenTCP(t), new(tap)
			seen := make(chan string, 1)
			var server []stubs.ServerOption
			creds := credentials.NewInsecure()
			if tc.tls {
				server, creds = append(server, stubs.Creds(ca.server(t, "server.test"))), ca.client()
			}
			serve(t, lis, func(ctx context.Context) error {
				md, _ := metadata.FromIncomingContext(ctx)
				seen <- fmt.Sprint(md.Get("authorization"), md.Get("x-uri"))
				return nil
			}, server...)
			ch, err := surface.NewChannel("ipv4:"+lis.Addr().String(), surface.WithCredentials(creds), surface.WithAuthority("server.test"), surface.WithLogger(quiet()),
				surface.WithFilter(stacks.Extra{Filter: asking{tc.creds}, After: []string{authority.Name}, Before: []string{messagesize.Name}}),
				surface.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					return tapped{c, wire}, nil
				}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(ch.Close)
			err = rawCall(ch)
			if status.CodeOf(err) != tc.code || tc.says != "" && !strings.Contains(err.Error(), tc.says) || err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the call ended with %v, want %v %q", err, tc.code, tc.says)
			}
			if tc.authorizes != "" {
				if got, want := <-seen, fmt.Sprintf("[%s] [https://server.test/strata.security.Test]", tc.authorizes); got != want {
					t.Errorf("the server sees %s, want %s", got, want)
				}
			}
			if got := onWire(wire.bytes()); got != tc.wantsOnWire {
				t.Errorf("the secret can be read on the wire: %v", got)
			}
			if got := headers(wire.bytes(), true); !tc.tls && got != tc.headerFrames {
				t.Errorf("%d HEADERS frames were written, want %d", got, tc.headerFrames)
			}
		})
	}
}
