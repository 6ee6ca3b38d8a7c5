package template_test

import (
	"errors"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/template"
)

// good is a configuration that works.
var good = template.Config{Key: "x-tenant", Value: "gold"}

// TestContract is the test that every filter has: the rules of package filters, on
// each side that the filter is for.
func TestContract(t *testing.T) {
	for name, side := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
		t.Run(name, func(t *testing.T) { callstacktest.Run(t, side, template.New(good)) })
	}
}

// TestField looks at what the transport is given.
func TestField(t *testing.T) {
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, template.New(good)))
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	c.Do(transport.OpSendInitialMetadata)
	if got, _ := tr.Streams()[0].SentHeaders().Get("x-tenant"); got != "gold" {
		t.Errorf("sent x-tenant %q, want gold", got)
	}
}

// TestFailed plays the peer of calls that end in different ways.
func TestFailed(t *testing.T) {
	notFound := func(md *metadata.List) { md.SetStatus(uint32(status.NotFound), "") }
	for _, tc := range []struct {
		name string
		side callstacktest.Side
		fill func(*metadata.List)
		err  error
		want int
	}{
		{"a client's call that succeeds", callstacktest.Client, callstacktest.Client.FillTrailers, nil, 0},
		{"a client's call with a status", callstacktest.Client, notFound, nil, 1},
		{"a client's call without a connection", callstacktest.Client, nil, errors.New("lost"), 1},
		{"a server's call", callstacktest.Server, nil, nil, 0},
		{"a server's call that the client cancels", callstacktest.Server, nil, errors.New("reset"), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := &callstacktest.Transport{}
			f := template.New(good)
			c := callstacktest.NewCall(callstacktest.Build(t, tr, f))
			for use := 1; use <= 2; use++ { // a block is used again
				if err := c.Begin(tc.side.Args()); err != nil {
					t.Fatal(err)
				}
				c.Do(transport.OpRecvTrailingMetadata)
				tr.Streams()[0].Trailers(tc.fill, tc.err)
				c.Unref()
				if got := f.Failed(); got != use*tc.want {
					t.Errorf("after %d calls %d have failed, want %d", use, got, use*tc.want)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	const key, reserved = "want one or more of 0-9, a-z, hyphen, underscore and dot", "which gRPC or HTTP/2 uses itself, want another"
	for cfg, want := range map[template.Config]string{
		{Key: "x-tenant", Value: "gold"}:  "<nil>",
		{Key: "x-tenant"}:                 "<nil>",
		{Key: "x-bin", Value: "\x00\xff"}: "<nil>",
		{}:                                `option Key is "", ` + key,
		{Key: "X-Tenant"}:                 `option Key is "X-Tenant", ` + key,
		{Key: "my tenant"}:                `option Key is "my tenant", ` + key,
		{Key: ":path"}:                    `option Key is ":path", ` + key,
		{Key: "grpc-timeout"}:             `option Key is "grpc-timeout", ` + reserved,
		{Key: "te"}:                       `option Key is "te", ` + reserved,
		{Key: "x-tenant", Value: "a\nb"}:  `option Value of key "x-tenant" has a byte outside 0x20 to 0x7e; keys that end in -bin take any`,
	} {
		if got := errorText(template.New(cfg).Validate()); got != want {
			t.Errorf("Validate of %+v = %s, want %s", cfg, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}
