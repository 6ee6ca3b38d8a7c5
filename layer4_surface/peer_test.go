package surface

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestPeer: who the other end is, is known from when the call has a connection,
// stays so after the end, and is nobody before and after the handle.
func TestPeer(t *testing.T) {
	f := newFixture(t)
	req := f.request("request")
	c := f.call(CallParams{})
	if p := c.Peer(); p != nil {
		t.Errorf("the peer of a call that has not begun = %v", p)
	}
	var st clientState
	f.start(c, "client", opSendHeaders(), st.opHeaders(), st.opStatus())
	f.expect(f.scq, "request", true)
	check := func(when string) {
		t.Helper()
		for side, call := range map[string]Call{"client": c, "server": req.Call} {
			if p := call.Peer(); p == nil || p.String() != "inproc" {
				t.Errorf("%s, on the %s: peer = %v", when, side, p)
			}
		}
	}
	check("under way")
	f.start(req.Call, "answer", opStatus(status.OK, ""))
	f.expect(f.scq, "answer", true)
	f.expect(f.cq, "client", true)
	check("after the end")
	c.Release()
	req.Call.Release()
	if p := c.Peer(); p != nil {
		t.Errorf("the peer of a call that was released = %v", p)
	}
	again := f.call(CallParams{}) // in the same block
	if p := again.Peer(); p != nil {
		t.Errorf("the peer of the next call in the block = %v", p)
	}
	again.Release()
}

// TestAuthorityOfACall: a call's own host comes before the channel's authority,
// and that before the target's.
func TestAuthorityOfACall(t *testing.T) {
	for _, row := range []struct{ name, channel, call, want string }{
		{"the target's", "", "", "echo.example:443"},
		{"the channel's", "of.channel", "", "of.channel"},
		{"the call's", "", "of.call", "of.call"},
		{"both", "of.channel", "of.call", "of.call"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []ChannelOption
				if row.channel != "" {
					opts = append(opts, WithAuthority(row.channel))
				}
				ch := newScriptedChannel(t, fmt.Sprintf("await HEADERS stream=1 :authority=%q\n", row.want)+
					"send HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=0\n"+untilClosed, opts...)
				if st, _ := echo(t, ch, CallParams{Host: row.call}, "x"); st.Code != status.OK {
					t.Errorf("status = %v", st)
				}
			})
		})
	}
}
