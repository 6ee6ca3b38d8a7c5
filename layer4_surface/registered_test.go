package surface

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestRegisteredCall: the call of a handle has its method and host, whatever
// else stands in the parameters.
func TestRegisteredCall(t *testing.T) {
	f := newFixture(t)
	r, err := f.channel.RegisterCall("/greeter/Hello", "greeter.example")
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.channel.RegisterCall("/greeter/Hello", "greeter.example")
	if err != nil || again != r {
		t.Errorf("registered once more: %v, %v; want an equal handle", again, err)
	}
	other, err := f.channel.RegisterCall("/greeter/Hello", "")
	if err != nil || other == r {
		t.Errorf("registered for another host: equal %t, %v; want another handle", other == r, err)
	}
	if r.Method() != "/greeter/Hello" || r.Host() != "greeter.example" {
		t.Errorf("the handle is for %q at %q", r.Method(), r.Host())
	}
	for range 10 {
		req := f.request("request")
		c, err := f.channel.CreateRegisteredCall(r, CallParams{Method: "/other/Method", Host: "other.example", Queue: f.cq})
		if err != nil {
			t.Fatal(err)
		}
		if c.Method() != "/greeter/Hello" {
			t.Errorf("the method of the call is %q", c.Method())
		}
		var st clientState
		f.start(c, "client", opSendHeaders(), opClose(), st.opHeaders(), st.opStatus())
		f.expect(f.scq, "request", true)
		if got := req.Details; got.Method != "/greeter/Hello" || got.Host != "greeter.example" {
			t.Errorf("the server was asked for %q at %q", got.Method, got.Host)
		}
		f.start(req.Call, "status", opStatus(status.Unimplemented, "xyz"))
		f.expect(f.scq, "status", true)
		f.expect(f.cq, "client", true)
		st.wantStatus(t, status.Unimplemented, "xyz")
		c.Release()
		req.Call.Release()
	}
}

// TestRegisterCallErrors: what cannot be sent is found when it is registered.
func TestRegisterCallErrors(t *testing.T) {
	f := newFixture(t)
	for _, tc := range []struct{ name, method, host string }{
		{"the method is empty", "", ""},
		{"the method has no slash", "greeter/Hello", ""},
		{"the method is a slash", "/", ""},
		{"the method has a space", "/greeter/Hello you", ""},
		{"the method has a line break", "/greeter/Hello\r\n", ""},
		{"the method is not ASCII", "/greeter/Hällo", ""},
		{"the host has a space", "/greeter/Hello", "a b"},
		{"the host has a NUL", "/greeter/Hello", "a\x00b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.channel.RegisterCall(tc.method, tc.host)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", tc.method)) {
				t.Errorf("RegisterCall(%q, %q) = %v, want an error that quotes the method", tc.method, tc.host, err)
			}
		})
	}
	r, err := f.channel.RegisterCall("/greeter/Hello", "")
	if err != nil {
		t.Fatal(err)
	}
	foreign := newFixture(t)
	if _, err := foreign.channel.CreateRegisteredCall(r, CallParams{}); err == nil || !strings.Contains(err.Error(), `"/greeter/Hello"`) {
		t.Errorf("the handle of another channel: %v, want an error that quotes the method", err)
	}
	if _, err := f.channel.CreateRegisteredCall(RegisteredCall{}, CallParams{}); err == nil {
		t.Error("the zero handle makes calls")
	}
	f.channel.Close()
	_, regErr := f.channel.RegisterCall("/greeter/Hello", "")
	_, callErr := f.channel.CreateRegisteredCall(r, CallParams{})
	for _, err := range []error{regErr, callErr} {
		if status.CodeOf(err) != status.Canceled || !errors.Is(err, context.Canceled) {
			t.Errorf("after Close: %v, want CANCELLED", err)
		}
	}
}
