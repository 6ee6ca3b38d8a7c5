package http2

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestScriptedClients plays scripts against a server, in time that is exact.
func TestScriptedClients(t *testing.T) {
	const hello = "client\nsend PREFACE\nsend SETTINGS\nanswer SETTINGS PING\n"
	for _, tc := range []struct {
		name, script string
		takes        time.Duration
	}{
		{
			name: "the settings of a server, and its answer to a PING",
			script: hello + `
await SETTINGS max_streams=1024 max_header_list=8192
send PING data=7
await PING ACK data=7
`,
		},
		{
			name: "a request that nobody takes is refused, and the connection lives",
			script: hello + `
send HEADERS stream=1 END_STREAM request=/s/m
await RST_STREAM stream=1 code=REFUSED_STREAM
send PING
await PING ACK
`,
		},
		{
			name: "a header block that drips ends the connection",
			script: hello + `
send HEADERS stream=1 -END_HEADERS request=/s/m
drip 1 every=1s
send CONTINUATION stream=1 block=00*100
await close within=1m
`,
			takes: headerBlockTime,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nc, end := memconn.Pipe()
				served := make(chan transport.Transport)
				go func() {
					s, err := Accept(context.Background(), end, nil, Config{})
					if err != nil {
						t.Error(err)
						close(served)
						return
					}
					s.PerformOp(&transport.Op{Accept: refuseAll{}})
					served <- s
				}()
				begin := time.Now()
				over := make(chan error, 1)
				go func() {
					_, err := framescript.MustParse("client.txt", tc.script).Run(t.Context(), nc, framescript.Options{})
					over <- err
				}()
				s := <-served
				if err := <-over; err != nil {
					t.Error(err)
				}
				if took := time.Since(begin); took != tc.takes {
					t.Errorf("it took %v, want %v", took, tc.takes)
				}
				if s != nil {
					s.Close()
				}
			})
		})
	}
}
