package peers

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"
)

// ownMetadata is metadata with all that is special: several values in order,
// values that look like lists, binary values with every byte, empty ones.
func ownMetadata() pairs {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return pairs{
		"x-one":           {"value"},
		"x-many":          {"first", "second", "first"},
		"x-list":          {"a,b, c"},
		"x-spaces":        {"in the middle"},
		"x-key_with.all-": {`!"#$%&'()*+/:;<=>?@[\]^{|}`},
		"x-bytes-bin":     {string(every)},
		"x-many-bin":      {"\x00", "\xff\xfe", "text", ","},
		"x-length-bin":    {"1", "22", "333", "4444"},
	}
}

// checkMetadata compares the keys of ownMetadata.
func checkMetadata(t *testing.T, where string, got pairs) {
	t.Helper()
	for key, want := range ownMetadata() {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s: %s is %q, want %q", where, key, got[key], want)
		}
	}
}

// TestMetadata: what a client sends arrives, and what a server sends as
// initial and trailing metadata too, each in its own place.
func TestMetadata(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{
			unary: func(ctx context.Context, c handlerCall, in *message) (*message, error) {
				checkMetadata(t, "at the unary handler", c.incoming(ctx))
				if err := c.setHeader(ctx, ownMetadata()); err != nil {
					return nil, err
				}
				return in, c.setTrailer(ctx, ownMetadata())
			},
			stream: func(s serverStream) error {
				checkMetadata(t, "at the stream's handler", s.incoming())
				if err := s.setHeader(ownMetadata()); err != nil {
					return err
				}
				s.setTrailer(ownMetadata())
				return echoStream(s)
			},
		})
		t.Run("unary", func(t *testing.T) {
			var header, trailer pairs
			if _, err := c.unary(testContext(t), []byte("x"), &callOptions{send: ownMetadata(), header: &header, trailer: &trailer}); err != nil {
				t.Fatal(err)
			}
			checkMetadata(t, "initial", header)
			checkMetadata(t, "trailing", trailer)
		})
		t.Run("stream", func(t *testing.T) {
			s, err := c.stream(testContext(t), &callOptions{send: ownMetadata()})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(&message{Value: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			header, err := s.header()
			if err != nil {
				t.Fatal(err)
			}
			checkMetadata(t, "initial", header)
			finish(t, s, 1)
			checkMetadata(t, "trailing", s.trailer())
		})
	})
}

// TestMetadataOfFailure: trailing metadata arrives with a status that is not
// OK, whether or not anything was sent before it.
func TestMetadataOfFailure(t *testing.T) {
	eachPairing(t, func(t *testing.T, p pairing) {
		c, _ := p.connect(t, handlers{
			unary: func(ctx context.Context, c handlerCall, _ *message) (*message, error) {
				if err := c.setTrailer(ctx, ownMetadata()); err != nil {
					return nil, err
				}
				return nil, c.fail(newStatus(code.Code_ABORTED, "no"))
			},
			stream: func(s serverStream) error {
				if err := s.setHeader(pairs{"x-initial": {"1"}}); err != nil {
					return err
				}
				if err := s.SendMsg(&message{}); err != nil {
					return err
				}
				s.setTrailer(ownMetadata())
				return s.fail(newStatus(code.Code_ABORTED, "no"))
			},
		})
		var trailer pairs
		_, err := c.unary(testContext(t), nil, &callOptions{trailer: &trailer})
		wantCode(t, p.client, err, code.Code_ABORTED)
		checkMetadata(t, "trailing, unary", trailer)

		s, err := c.stream(testContext(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(message)); err != nil {
			t.Fatal(err)
		}
		wantCode(t, p.client, s.RecvMsg(new(message)), code.Code_ABORTED)
		if header, err := s.header(); err != nil || !slices.Equal(header["x-initial"], []string{"1"}) {
			t.Errorf("initial metadata is %q, %v", header["x-initial"], err)
		}
		checkMetadata(t, "trailing, stream", s.trailer())
	})
}

// finish half-closes a stream, receives n messages and expects the end.
func finish(t *testing.T, s clientStream, n int) {
	t.Helper()
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := s.RecvMsg(new(message)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := s.RecvMsg(new(message)); !errors.Is(err, io.EOF) {
		t.Fatalf("after %d messages: %v, want EOF", n, err)
	}
}
