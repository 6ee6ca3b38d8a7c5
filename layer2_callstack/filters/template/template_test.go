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
	for key, want := range map[string]string{
		"x-tenant":     "<nil>",
		"":             `option Key is "", want a name in lower case`,
		"X-Tenant":     `option Key is "X-Tenant", want a name in lower case`,
		":path":        `option Key is ":path", want a name that neither begins with a colon nor with "grpc-"`,
		"grpc-timeout": `option Key is "grpc-timeout", want a name that neither begins with a colon nor with "grpc-"`,
	} {
		if got := errorText(template.New(template.Config{Key: key}).Validate()); got != want {
			t.Errorf("Validate of key %q = %s, want %s", key, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}
