package surface

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// TestKeptAfterTheEnd: a message that a filter keeps when the status has come already
// ends with a cancel, a release, or the end of the channel.
func TestKeptAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(ch *Channel, c Call){
		"Cancel":  func(_ *Channel, c Call) { c.Cancel() },
		"Release": func(_ *Channel, c Call) { c.Release() },
		"Close":   func(ch *Channel, _ Call) { ch.Close() },
	} {
		for _, good := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/for good %t", name, good), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, scq := newFixtureServer(t)
					f := connectFixture(t, s, scq, WithLogger(quietLogger()),
						WithFilter(keeper{ops: transport.OpSendMessage, good: good}.extra()))
					req := f.request("request")
					c := f.call(CallParams{})
					var st clientState
					f.start(c, "call", opSendHeaders(), st.opHeaders(), st.opStatus())
					f.start(c, "message", opSend("x"))
					f.expect(f.scq, "request", true)
					f.start(req.Call, "status", opStatus(status.NotFound, "none"))
					f.expect(f.scq, "status", true)
					f.expect(f.cq, "call", true)
					st.wantStatus(t, status.NotFound, "none")
					time.Sleep(time.Hour)
					wantNoEvent(t, f.cq)
					end(f.channel, c)
					wantEvent(t, f.cq, "message", false, map[bool]time.Duration{true: time.Second}[good])
					c.Release()
					req.Call.Release()
				})
			})
		}
	}
}
