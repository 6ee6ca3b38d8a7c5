package compression_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/trace"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
)

// TestTrace: a message that is coded is told of with its lengths, and with
// nothing of what it holds; one that is sent as it is is not.
func TestTrace(t *testing.T) {
	text := strings.Repeat("secret ", 200)
	packed, broken := compressed(t, encoding.Gzip{}, text), buffer("")
	broken.Compressed = true
	for _, tc := range []struct {
		name      string
		send      string
		recv      *transport.Buffer
		want      []string
		wantError bool
	}{
		{"both coded", text, packed, []string{
			"compress gzip 1400 to SENT bytes down caused by op.down send_initial_metadata send_message recv_initial_metadata recv_message recv_trailing_metadata",
			fmt.Sprintf("inflate gzip %d to 1400 bytes up caused by op.up recv_message", packed.Len())}, false},
		{"neither coded", "secret", buffer("secret"), nil, false},
		{"not shorter", "secret 0123456789abcdefghijklmnopqrstuvwxyz", buffer(""), []string{
			"compress gzip 43 bytes would not get shorter down caused by op.down send_initial_metadata send_message recv_initial_metadata recv_message recv_trailing_metadata"}, false},
		{"broken", "", broken, []string{"inflate gzip 0 bytes up caused by op.up recv_message"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec, tr := trace.NewRecorder(trace.LevelEvents), &callstacktest.Transport{}
			b := callstack.NewBuilder("TEST")
			b.Add(compression.New(config{Send: "gzip", MinSize: 10}))
			b.Add(connected.New()).Terminal()
			s, err := b.Build(callstack.ChannelArgs{Transport: tr, Trace: rec.Endpoint("client", "")})
			if err != nil {
				t.Fatal(err)
			}
			c := callstacktest.NewCall(s)
			if err := c.Begin(callstack.CallArgs{CallID: 7}); err != nil {
				t.Fatal(err)
			}
			all := c.Do(transport.OpSendInitialMetadata|transport.OpSendMessage|transport.OpsRecv, func(b *callstacktest.Batch) {
				b.SendMessage.Buf = buffer(tc.send)
			})
			st := tr.Streams()[0]
			sent, _ := st.SentMessage()
			st.Headers(headers(callstacktest.Client, "gzip", ""), nil)
			tc.recv.Ref()
			st.Message(tc.recv, nil)
			st.Trailers(callstacktest.Client.FillTrailers, nil)
			all.RecvMessage.Message.Release()
			c.Unref()

			var got []string
			events := rec.Events()
			for _, r := range events {
				if strings.Contains(fmt.Sprint(r), "secret") {
					t.Errorf("event %+v shows what the message holds", r)
				}
				if r.Op != "compress" && r.Op != "inflate" {
					continue
				}
				cause := events[slices.IndexFunc(events, func(c trace.Record) bool { return c.ID == r.Cause })]
				got = append(got, strings.ReplaceAll(fmt.Sprintf("%s %s %s caused by %s %s", r.Op, r.Text, r.Dir, cause.Op, cause.Text),
					fmt.Sprintf("to %d bytes down", len(sent)), "to SENT bytes down"))
				if r.Component != "filter:compression" || r.Call != 7 || (r.Err != nil) != tc.wantError {
					t.Errorf("event %+v", r)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("events are\n%q\nwant\n%q", got, tc.want)
			}
		})
	}
}
