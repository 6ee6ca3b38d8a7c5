package compression_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// A config is what most tests begin with.
type config = compression.Config

func TestContract(t *testing.T) {
	for name, cfg := range map[string]config{
		"default":   {},
		"gzip":      {Send: "gzip"},
		"no coding": {Compressors: []encoding.Compressor{}},
		"mirror":    {Mirror: true, MinSize: -1},
		"kept":      {KeepCompressed: true},
	} {
		for side, s := range map[string]callstacktest.Side{"client": callstacktest.Client, "server": callstacktest.Server} {
			t.Run(name+"/"+side, func(t *testing.T) { callstacktest.Run(t, s, compression.New(cfg)) })
		}
	}
}

// begin starts a call that waits for headers, a message and trailers.
func begin(t testing.TB, side callstacktest.Side, cfg config) (*callstacktest.Call, *callstacktest.Batch, *callstacktest.Stream) {
	t.Helper()
	tr := &callstacktest.Transport{}
	c := callstacktest.NewCall(callstacktest.Build(t, tr, compression.New(cfg)))
	if err := c.Begin(side.Args()); err != nil {
		t.Fatal(err)
	}
	return c, c.Do(transport.OpsRecv), tr.Streams()[0]
}

// headers are those of a peer that says this of codings.
func headers(side callstacktest.Side, enc, accept string) func(*transport.RecvInitialMetadata) {
	return func(rim *transport.RecvInitialMetadata) {
		side.FillHeaders(rim)
		rim.MD.Encoding, rim.MD.AcceptEncoding = enc, accept
	}
}

// buffer returns a message of text.
func buffer(text string) *transport.Buffer {
	b := transport.NewBuffer(len(text))
	b.Append([]byte(text))
	return b
}

// compressed returns a message of text coded by c.
func compressed(t testing.TB, c encoding.Compressor, text string) *transport.Buffer {
	t.Helper()
	var out bytes.Buffer
	w, err := c.Compress(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := buffer(out.String())
	b.Compressed = true
	return b
}

// inflated returns what a message coded by c holds.
func inflated(t testing.TB, c encoding.Compressor, data string) string {
	t.Helper()
	out, err := encoding.Inflate(c, buffer(data), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	return string(out.Bytes())
}

// A rot is a coding of a user's own: every byte is moved by its number, and
// there are half as many, unless it misbehaves.
type rot struct {
	name          string
	panics, fails bool
}

func (r rot) Name() string { return r.name }

func (r rot) Compress(w io.Writer) (io.WriteCloser, error) {
	if r.fails {
		return nil, io.ErrClosedPipe
	}
	return &rotWriter{r, w}, nil
}

func (r rot) Decompress(in io.Reader) (io.Reader, error) {
	if r.panics {
		panic("on purpose")
	}
	return in, nil
}

type rotWriter struct {
	r rot
	w io.Writer
}

func (w *rotWriter) Write(p []byte) (int, error) {
	if w.r.panics {
		panic("on purpose")
	}
	if _, err := w.w.Write(p[:len(p)/2]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *rotWriter) Close() error { return nil }

func TestConfigIsChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  config
		want string
	}{
		{"a coding to send that is not known", config{Send: "br"}, `option Send: compressor "br" is not known, "gzip,deflate" and "identity" are`},
		{"a coding to send where none is known", config{Send: "gzip", Compressors: []encoding.Compressor{}}, `compressor "gzip" is not known, only "identity" is`},
		{"two of one name", config{Compressors: []encoding.Compressor{encoding.Gzip{}, encoding.Gzip{Level: 9}}}, `option Compressors: two compressors are called "gzip"`},
		{"nil", config{Compressors: []encoding.Compressor{nil}}, "compressor 0 is nil"},
		{"a nil pointer", config{Compressors: []encoding.Compressor{encoding.Gzip{}, (*rot)(nil)}},
			"option Compressors: compressor 1 cannot be used: a nil *compression_test.rot panicked in Name"},
		{"a name that no header can have", config{Compressors: []encoding.Compressor{rot{name: "A,b"}}}, `compressor 0 is called "A,b"`},
		{"no name", config{Compressors: []encoding.Compressor{rot{}}}, `compressor 0 is called ""`},
		{"identity as a compressor", config{Compressors: []encoding.Compressor{rot{name: "identity"}}}, "which is no compression"},
		{"a level that does not exist", config{Compressors: []encoding.Compressor{encoding.Gzip{Level: 10}}}, `compressor "gzip": Level is 10, want 0 to 9`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := tc.cfg.Set(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Set: %v, want %q", err, tc.want)
			}
			if _, err := compression.New(tc.cfg).NewChannel(nil, nil); err == nil {
				t.Error("NewChannel takes it")
			}
		})
	}
}
