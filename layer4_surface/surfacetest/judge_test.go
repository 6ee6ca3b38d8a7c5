package surfacetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A defect is a fault between the two ends of a call, and what the suite makes
// of it.
type defect struct {
	name           string
	client, server func(next callstack.CallElem, b *transport.StreamOpBatch)
	caught         []string // file/name of cases that must fail
	passes         string   // and of one that has nothing to do with it
}

var defects = []defect{
	{name: "the status is always OK", client: atEnd(func(md *metadata.List, err error) error {
		md.Status = 0
		return err
	}), caught: []string{"simple_request/SimpleRequest", "server_streaming/ServerStreaming"}, passes: "request_with_payload/RequestWithPayload"},

	{name: "the status message is lost", client: atEnd(func(md *metadata.List, err error) error {
		md.Message = ""
		return err
	}), caught: []string{"request_with_payload/RequestWithPayload", "server_finishes_request/ServerFinishesRequest"}, passes: "empty_batch/EmptyBatch"},

	{name: "a byte of a message changes", server: onMessage(func(m *transport.Buffer) *transport.Buffer {
		if m.Len() > 0 {
			m.Bytes()[0] ^= 1
		}
		return m
	}), caught: []string{"request_with_payload/RequestWithPayload", "payload/RequestResponseWithPayload"}, passes: "simple_request/SimpleRequest"},

	{name: "there is always another message", server: onMessage(func(m *transport.Buffer) *transport.Buffer {
		if m == nil {
			m = transport.NewBuffer(0)
		}
		return m
	}), caught: []string{"client_streaming/ClientStreaming0", "ours/streaming/ManyBatchesOnOneCall"}, passes: "ping_pong_streaming/PingPongStreaming3"},

	{name: "the limit of messages is not kept", server: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		b.RecvMessage.Limit = -1
	}, caught: []string{"max_message_length/MaxMessageLengthOnServerOnRequestViaChannelArg"}, passes: "payload/RequestResponseWithPayload"},

	{name: "headers never come", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		b.RecvInitialMetadata.Ready = doneFunc(func(error) {})
	}, caught: []string{"simple_request/SimpleRequest", "client_streaming/ClientStreaming1"}, passes: "cancel_with_status/CancelWithStatus1"},

	{name: "the last pair is lost", server: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if md := b.SendInitialMetadata.MD; b.Ops.Has(transport.OpSendInitialMetadata) && md.Len() > 0 {
			md.Delete(md.Pairs()[md.Len()-1].Key)
		}
	}, caught: []string{"simple_metadata/SimpleMetadata", "ours/metadata/EveryByteInABinaryValue"}, passes: "trailing_metadata/TrailingMetadata"},

	{name: "credentials are sent twice", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if md := b.SendInitialMetadata.MD; b.Ops.Has(transport.OpSendInitialMetadata) {
			if token, have := md.Get(tokenKey); have {
				md.Append(tokenKey, token)
			}
		}
	}, caught: []string{"call_creds/RequestResponseWithPayloadAndInsecureCallCreds", "ours/call_creds/ChannelCredsComeFirst"},
		passes: "simple_metadata/SimpleMetadata"},

	{name: "trailers are lost", client: atEnd(func(md *metadata.List, err error) error {
		for md.Len() > 0 {
			md.Delete(md.Pairs()[0].Key)
		}
		return err
	}), caught: []string{"trailing_metadata/TrailingMetadata", "simple_metadata/SimpleMetadata"}, passes: "filtered_metadata/ContentLengthIsFiltered"},

	{name: "a key has one value", client: atEnd(func(md *metadata.List, err error) error {
		first := metadata.List{Known: md.Known, HasStatus: md.HasStatus, Status: md.Status, Message: md.Message}
		for _, p := range md.Pairs() {
			if _, have := first.Get(p.Key); !have {
				first.Append(p.Key, p.Value)
			}
		}
		md.CopyFrom(&first)
		return err
	}), caught: []string{"ours/metadata/DuplicateKeysKeepTheirOrder"}, passes: "simple_metadata/SimpleMetadata"},

	{name: "the server is called something else", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpSendInitialMetadata) {
			b.SendInitialMetadata.MD.Authority = "elsewhere"
		}
	}, caught: []string{"default_host/DefaultHost", "call_host_override/CallHostOverride"}, passes: "simple_request/SimpleRequest"},

	{name: "nothing waits", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		b.SendInitialMetadata.Flags, b.SendMessage.Flags = 0, 0
	}, caught: []string{"write_buffering/WriteBufferingWorks", "write_buffering_at_end/WriteBufferingAtEnd", "ours/write_buffering/CorkedHeadersWait"},
		passes: "request_with_flags/WriteBufferIntAcceptedOnSendMessage"},

	{name: "cancellations go nowhere", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		b.Ops &^= transport.OpCancelStream
	}, caught: []string{"cancel_after_accept/CancelAfterAccept", "cancel_after_round_trip/CancelAfterRoundTrip"}, passes: "simple_request/SimpleRequest"},

	{name: "a server does not learn of the end", server: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		b.RecvTrailingMetadata.Ready = doneFunc(func(error) {})
	}, caught: []string{"simple_request/SimpleRequest", "ping_pong_streaming/PingPongStreaming1", "max_connection_age/MaxAgeForciblyClose"}, passes: "cancel_before_invoke/CancelBeforeInvoke4"},

	{name: "a message to who has ended is said to be sent", client: func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if b.Ops.Has(transport.OpSendMessage) {
			done := b.OnComplete
			b.OnComplete = doneFunc(func(err error) {
				b.SendMessage.WriteClosed = false
				done.Run(err)
			})
		}
	}, caught: []string{"ours/streaming/MessageAfterTheStatusFails"}, passes: "client_streaming/ClientStreaming3"},
}

// atEnd returns a hook that changes what recv_trailing_metadata brings.
func atEnd(change func(md *metadata.List, err error) error) func(callstack.CallElem, *transport.StreamOpBatch) {
	return func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if md, ready := b.RecvTrailingMetadata.MD, b.RecvTrailingMetadata.Ready; b.Ops.Has(transport.OpRecvTrailingMetadata) {
			b.RecvTrailingMetadata.Ready = doneFunc(func(err error) { ready.Run(change(md, err)) })
		}
	}
}

// onMessage returns a hook that changes received messages.
func onMessage(change func(m *transport.Buffer) *transport.Buffer) func(callstack.CallElem, *transport.StreamOpBatch) {
	return func(_ callstack.CallElem, b *transport.StreamOpBatch) {
		if ready := b.RecvMessage.Ready; b.Ops.Has(transport.OpRecvMessage) {
			b.RecvMessage.Ready = doneFunc(func(err error) {
				if err == nil {
					b.RecvMessage.Message = change(b.RecvMessage.Message)
				}
				ready.Run(err)
			})
		}
	}
}

// A brokenLink has filters between its ends that are at fault.
type brokenLink struct {
	Link
	*defect
}

func (l brokenLink) ServerOptions() []surface.ServerOption {
	return append(l.Link.ServerOptions(), surface.WithFilter((&hook{name: "of a defect", batch: l.server}).below()))
}

func (l brokenLink) NewChannel(opts ...surface.ChannelOption) (*surface.Channel, error) {
	return l.Link.NewChannel(append(opts, surface.WithFilter((&hook{name: "of a defect", batch: l.client}).below()))...)
}

// inChild is set in the environment of the process that runs the suite over a
// broken fixture, where tests fail as they should.
const inChild = "SURFACETEST_DEFECT"

// TestKitJudges: a fixture that is at fault fails the cases that it should, and
// no other that is asked.
func TestKitJudges(t *testing.T) {
	if name := os.Getenv(inChild); name != "" {
		runBroken(t, name)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range defects {
		d := &defects[i]
		t.Run(d.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var run []string
			for _, name := range append(d.caught, d.passes) {
				run = append(run, "^TestKitJudges$/^broken$/^"+strings.ReplaceAll(name, "/", "$/^")+"$")
			}
			cmd := exec.CommandContext(ctx, self, "-test.v", "-test.timeout=50s", "-test.run="+strings.Join(run, "|"))
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s", inChild, d.name))
			out, _ := cmd.CombinedOutput() // it ends in failure
			ended := func(how, name string) bool {
				return regexp.MustCompile(`(?m)^ *--- ` + how + `: TestKitJudges/broken/` + name + ` `).Match(out)
			}
			for _, name := range d.caught {
				if !ended("FAIL", name) {
					t.Errorf("%s does not fail", name)
				}
			}
			if !ended("PASS", d.passes) {
				t.Errorf("%s does not pass", d.passes)
			}
			if t.Failed() {
				t.Logf("%s", bytes.TrimSpace(out))
			}
		})
	}
}

// runBroken runs the suite over HTTP/2 in memory with a defect.
func runBroken(t *testing.T, name string) {
	for i := range defects {
		if d := &defects[i]; d.name == name {
			open := openMemory(whole)
			Run(t, Fixture{Name: "broken", Virtual: true, Lacks: []Capability{Secure, Raw}, Open: func(t testing.TB) Link {
				return brokenLink{open(t), d}
			}})
			return
		}
	}
	t.Fatalf("there is no defect %q", name)
}
