package transporttest

import (
	"fmt"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// failures is a testing.TB that keeps what a test would have failed with.
type failures struct {
	testing.TB
	texts []string
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.texts = append(f.texts, fmt.Sprintf(format, args...))
}

// A script is a stream that does with a batch what it is told to.
type script struct {
	owner   transport.Owner
	perform func(o transport.Owner, b *transport.StreamOpBatch)
}

func (s *script) Init(o transport.Owner, _ transport.Accepted) { s.owner = o }

func (s *script) PerformBatch(b *transport.StreamOpBatch) { s.perform(s.owner, b) }

func (s *script) Reset() {}

// TestKitSeesFaults gives the driver streams that break a rule of callbacks,
// since a kit that accepts everything would pass every transport.
func TestKitSeesFaults(t *testing.T) {
	for _, tc := range []struct {
		name    string
		perform func(o transport.Owner, b *transport.StreamOpBatch)
		want    string // part of the failure, empty for none
	}{
		{"nothing wrong", func(_ transport.Owner, b *transport.StreamOpBatch) { b.Fail(nil) }, ""},
		{"a callback that runs twice", func(o transport.Owner, b *transport.StreamOpBatch) {
			b.OnComplete.Run(nil)
			b.Fail(nil)
		}, "callback of send ran twice"},
		{"a message before the headers", func(_ transport.Owner, b *transport.StreamOpBatch) {
			b.RecvMessage.Ready.Run(nil)
			b.RecvInitialMetadata.Ready.Run(nil)
			b.RecvTrailingMetadata.Ready.Run(nil)
			b.OnComplete.Run(nil)
		}, "callback of recv_message ran before that of recv_initial_metadata"},
		{"the end before a message", func(_ transport.Owner, b *transport.StreamOpBatch) {
			b.RecvInitialMetadata.Ready.Run(nil)
			b.RecvTrailingMetadata.Ready.Run(nil)
			b.RecvMessage.Ready.Run(nil)
			b.OnComplete.Run(nil)
		}, "callback of recv_trailing_metadata ran before that of recv_message"},
		{"an owner that is let go too often", func(o transport.Owner, b *transport.StreamOpBatch) {
			b.Fail(nil)
			o.Unref()
			o.Unref()
			o.Unref()
		}, "Unref of an owner that nobody refers to"},
		{"an owner that is held when nobody had it", func(o transport.Owner, b *transport.StreamOpBatch) {
			o.Unref()
			o.Unref()
			o.Ref()
			o.Ref()
			b.Fail(nil)
		}, "Ref of an owner that nobody refers to"},
		{"a callback without an owner", func(o transport.Owner, b *transport.StreamOpBatch) {
			o.Unref()
			o.Unref()
			b.RecvInitialMetadata.Ready.Run(nil)
		}, "ran with 0 references"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &failures{TB: t}
			c := &Call{t: f, Stream: &script{perform: tc.perform}, Owner: newOwner(f, "call")}
			c.Reuse(nil)
			c.Batch().SendHeaders(RequestHeaders()).RecvHeaders().RecvMessage(0).RecvTrailers().Start()
			got := strings.Join(f.texts, "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("the kit reported %q, want %q", got, tc.want)
			}
		})
	}
}

// TestKitSeesCallbacksAtOnce runs one callback inside another.
func TestKitSeesCallbacksAtOnce(t *testing.T) {
	f := &failures{TB: t}
	c := &Call{t: f, Owner: newOwner(f, "call"), Stream: &script{perform: func(_ transport.Owner, b *transport.StreamOpBatch) {
		b.RecvInitialMetadata.Ready.Run(nil)
	}}}
	c.Reuse(nil)
	b := c.Batch().RecvHeaders().RecvMessage(0)
	b.Then(transport.OpRecvInitialMetadata, func(error) { b.op.RecvMessage.Ready.Run(nil) })
	b.Start()
	if got := strings.Join(f.texts, "\n"); !strings.Contains(got, "ran while that of recv_initial_metadata was running") {
		t.Errorf("the kit reported %q, want callbacks at the same time", got)
	}
}

func TestStatusOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		md   *metadata.List
		err  error
		want status.Code
	}{
		{"the status of the trailers", Trailers(status.NotFound, "no"), nil, status.NotFound},
		{"that of the error", new(metadata.List), &transport.Error{Code: status.Unavailable}, status.Unavailable},
		{"UNKNOWN without either", new(metadata.List), nil, status.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := StatusOf(tc.md, tc.err).Code(); got != tc.want {
				t.Errorf("StatusOf = %v, want %v", got, tc.want)
			}
		})
	}
}
