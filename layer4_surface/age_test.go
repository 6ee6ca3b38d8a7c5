package surface

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

// TestAgeOfRawClients: what clients are told and when, however they behave. The
// age is between 4.5 and 5.5 s.
func TestAgeOfRawClients(t *testing.T) {
	const begin = "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS\nignore SETTINGS WINDOW_UPDATE\n"
	const goaway = "expect GOAWAY last=0x7fffffff code=NO_ERROR debug=max_age within=6s\nexpect PING data=?ping -ACK\n"
	age := WithMaxConnectionAge(5*time.Second, 2*time.Second)
	for _, tc := range []struct {
		name, script string
		opt          ServerOption
		ends         [2]time.Duration // when the server closes at the earliest and latest
	}{
		{"one that has not sent its SETTINGS", "client\nsend PREFACE\nignore SETTINGS WINDOW_UPDATE\nexpect nothing within=4s\n" +
			goaway + "send SETTINGS\nsend PING ACK data=$ping\nawait GOAWAY last=0 code=NO_ERROR\nawait close", age,
			[2]time.Duration{4500 * time.Millisecond, 5500 * time.Millisecond}},
		{"one without calls", begin + "expect nothing within=4s\n" + goaway + "send PING ACK data=$ping\nexpect GOAWAY last=0 code=NO_ERROR\nawait close", age,
			[2]time.Duration{4500 * time.Millisecond, 5500 * time.Millisecond}},
		{"one that does not answer the PING", begin + goaway + "expect GOAWAY last=0 code=NO_ERROR within=6s\nawait close",
			WithMaxConnectionAge(5*time.Second, time.Minute), [2]time.Duration{9500 * time.Millisecond, 10500 * time.Millisecond}},
		{"one that leaves a stream open", begin + "send HEADERS stream=1 request=/s/m\n" + goaway +
			"send PING ACK data=$ping\nexpect GOAWAY last=1 code=NO_ERROR\nexpect GOAWAY last=1 code=NO_ERROR within=3s\nawait close", age,
			[2]time.Duration{6500 * time.Millisecond, 7500 * time.Millisecond}},
		{"one that opens a stream when it has been told", begin + goaway + "send PING ACK data=$ping\nexpect GOAWAY last=0 code=NO_ERROR\n" +
			"send HEADERS stream=1 request=/s/m\nawait close", age,
			[2]time.Duration{4500 * time.Millisecond, 6500 * time.Millisecond}},
		{"one that hoards its connection", begin + "expect nothing within=7s\n" +
			"expect GOAWAY last=0x7fffffff code=NO_ERROR debug=max_idle within=2s\nexpect PING data=?ping -ACK\nsend PING ACK data=$ping\nexpect GOAWAY last=0 code=NO_ERROR\nawait close",
			WithMaxConnectionIdle(8 * time.Second), [2]time.Duration{8 * time.Second, 8 * time.Second}},
		{"one that sends PINGs instead of calls", begin + "ignore SETTINGS WINDOW_UPDATE PING\nsend PING data=1\nwait 7s\nsend PING data=2\n" +
			"expect GOAWAY last=0x7fffffff code=NO_ERROR debug=max_idle within=2s\nawait close",
			WithMaxConnectionIdle(8 * time.Second), [2]time.Duration{8 * time.Second, 13 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoorstep(t, tc.opt)
				if _, err := framescript.MustParse("script", tc.script).Run(context.Background(), d.dial(), framescript.Options{Limit: time.Minute}); err != nil {
					t.Error(err)
				}
				if end := time.Since(d.start); end < tc.ends[0] || end > tc.ends[1] {
					t.Errorf("the connection ended after %v, want from %v to %v", end, tc.ends[0], tc.ends[1])
				}
			})
		})
	}
}

// TestAgeInProcess: a connection within the process has an age too, at which the
// channel that is this connection has come to its end.
func TestAgeInProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q := newFixtureServer(t, WithMaxConnectionAge(time.Hour, time.Minute))
		f := connectFixture(t, s, q)
		var st [2]clientState
		c := f.call(CallParams{})
		f.request("req")
		f.start(c, "call", opSendHeaders(), opClose(), st[0].opStatus())
		f.expect(f.scq, "req", true)
		time.Sleep(55*time.Minute - time.Second)
		synctest.Wait()
		f.quiet(f.cq)
		time.Sleep(12*time.Minute + time.Second)
		f.expect(f.cq, "call", true)
		if got := fmt.Sprint(st[0].status); st[0].status.Code != status.Unavailable || !strings.Contains(got, "MaxConnectionAgeGrace") {
			t.Errorf("the call ended with %v", got)
		}
		late := f.call(CallParams{})
		f.start(late, "late", opSendHeaders(), opClose(), st[1].opStatus())
		f.expect(f.cq, "late", true)
		if st[1].status.Code != status.Unavailable {
			t.Errorf("a call after the end of the connection ended with %v", st[1].status)
		}
		c.Release()
		late.Release()
	})
}
