package surfacetest

import (
	"context"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// credsCases are calls with credentials. Those of gRPC core that are secrets need
// a secure connection, the "insecure" ones go everywhere.
func credsCases() []testCase {
	secure := []Capability{Secure}
	const file = "call_creds"
	var cases []testCase
	for _, v := range []struct {
		name   string
		secret bool
		needs  []Capability
	}{{"CallCreds", true, secure}, {"InsecureCallCreds", false, nil}} {
		for mode, name := range []string{credsSent: "", credsOverridden: "Overridden", credsDeleted: "Deleted"} {
			cases = append(cases, testCase{file: file, name: "RequestResponseWithPayloadAnd" + name + v.name, needs: v.needs,
				test: func(r *rig) { callCreds(r, credsMode(mode), v.secret) }})
		}
	}
	return append(cases,
		testCase{file: file, name: "RequestWithServerRejectingClientCreds", needs: secure, bare: true, test: serverRejectsCreds},
		testCase{file: file, name: "FailToSendCallCreds", needs: []Capability{Insecure}, test: failToSendCreds},
		testCase{file: "ours/call_creds", name: "ChannelCredsComeFirst", test: channelCredsFirst,
			channel: []surface.ChannelOption{surface.WithPerRPCCredentials(newCreds("channel_", false))}},
		testCase{file: "ours/call_creds", name: "CancelWhileCredsAreAsked", test: func(r *rig) { endWhileAsked(r, false) }},
		testCase{file: "ours/call_creds", name: "ChannelClosesWhileCredsAreAsked", test: func(r *rig) { endWhileAsked(r, true) }},
	)
}

// A credsMode is what becomes of the first credentials of a call.
type credsMode int

const (
	credsSent credsMode = iota
	credsOverridden
	credsDeleted
)

// The fields of the credentials of gRPC core's suite, those of its IAM.
const (
	tokenKey    = "x-goog-iam-authorization-token"
	selectorKey = "x-goog-iam-authority-selector"
)

// creds are credentials with two fields.
type creds struct {
	fields map[string]string
	secret bool
	// wait, if not nil, is closed when they are asked, which then takes as long as
	// the call.
	wait chan struct{}
}

// newCreds returns credentials whose values begin with prefix.
func newCreds(prefix string, secret bool) *creds {
	return &creds{fields: map[string]string{tokenKey: prefix + "token", selectorKey: prefix + "selector"}, secret: secret}
}

func (c *creds) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if c.wait != nil {
		close(c.wait)
		<-ctx.Done()
	}
	return c.fields, ctx.Err()
}

func (c *creds) RequireTransportSecurity() bool { return c.secret }

// setCreds sets the credentials of a call, which has to be possible.
func (c *clientCall) setCreds(creds *creds) {
	c.r.Helper()
	if fault := c.SetCredentials(creds); fault != surface.CallOK {
		c.r.Fatalf("SetCredentials: %v", fault)
	}
}

// callCreds: a call sends the fields of its credentials, of those that were set
// last, or of none. A call on a server has none, and of a call that was started
// they stay as they are.
func callCreds(r *rig, mode credsMode, secret bool) {
	c := r.call()
	c.setCreds(newCreds("", secret))
	want := []string{tokenKey, "token", selectorKey, "selector"}
	switch mode {
	case credsOverridden:
		c.setCreds(newCreds("overridden_", secret))
		want = []string{tokenKey, "overridden_token", selectorKey, "overridden_selector"}
	case credsDeleted:
		if fault := c.SetCredentials(nil); fault != surface.CallOK {
			r.Fatalf("SetCredentials: %v", fault)
		}
		want = nil
	}
	s := payloadWithCreds(r, c)
	r.wantPairs("headers of the client", s.Metadata, want...)
}

// payloadWithCreds plays both ends of c to the end and returns the server's.
func payloadWithCreds(r *rig, c *clientCall) *serverCall {
	r.Helper()
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	if fault := c.SetCredentials(nil); fault != surface.CallErrorAlreadyInvoked {
		r.Errorf("SetCredentials on a call that was started: %v", fault)
	}
	s := r.request(101)
	r.verify(ok(101))
	if fault := s.Call.SetCredentials(nil); fault != surface.CallErrorNotOnServer {
		r.Errorf("SetCredentials on a server: %v", fault)
	}
	s.start(102, sendHeaders(), s.recvMessage())
	r.verify(ok(102))
	s.start(103, s.recvClose(), sendMessage("hello you"), sendStatus(status.OK, "xyz"))
	r.verify(ok(103), ok(1))
	r.wantText("the request", s.message, "hello world")
	r.wantText("the response", c.message, "hello you")
	c.wantStatus(status.OK, "xyz")
	s.wantCancelled(false)
	return s
}

// channelCredsFirst: the fields of the channel's credentials come before those of
// the call's, with the same keys.
func channelCredsFirst(r *rig) {
	c := r.callWith(surface.CallParams{Method: method, Deadline: inFiveSeconds(), Credentials: newCreds("call_", false)})
	s := payloadWithCreds(r, c)
	r.wantPairs("headers of the client", s.Metadata, tokenKey, "channel_token", tokenKey, "call_token",
		selectorKey, "channel_selector", selectorKey, "call_selector")
}

// serverRejectsCreds: a server whose hook does not like the credentials refuses the
// call before its application hears of it.
func serverRejectsCreds(r *rig) {
	const text = "Authentication metadata processing failed."
	r.startServer(surface.WithServerAuth(serverauth.Config{Process: func(_ context.Context, req *serverauth.Request) error {
		if token, _ := req.Metadata.Get(tokenKey); token == "token" {
			return status.Error(status.Unauthenticated, text)
		}
		return nil
	}}))
	r.openChannel()
	c := r.call()
	c.setCreds(newCreds("", true))
	r.request(101)
	c.start(1, c.recvStatus(), sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvMessage())
	r.verify(ok(1))
	c.wantStatus(status.Unauthenticated, text)
	r.quiet()
}

// failToSendCreds: credentials that are secrets are not sent in plain text, and
// neither is the call.
func failToSendCreds(r *rig) {
	c := r.call()
	c.setCreds(newCreds("", true))
	r.request(101)
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	r.verify(ok(1))
	c.wantCode(status.Unauthenticated)
	r.quiet()
}

// endWhileAsked: a call that waits for its credentials ends with a cancellation,
// its own or the channel's.
func endWhileAsked(r *rig, byChannel bool) {
	c := r.call()
	waits := newCreds("", false)
	waits.wait = make(chan struct{})
	c.setCreds(waits)
	r.request(101)
	c.start(1, sendHeaders(), sendMessage("hello world"), sendClose(), c.recvHeaders(), c.recvMessage(), c.recvStatus())
	<-waits.wait
	if byChannel {
		r.channel.Close()
	} else {
		c.Cancel()
	}
	r.verify(ok(1))
	c.wantCode(status.Canceled)
	r.quiet()
}
