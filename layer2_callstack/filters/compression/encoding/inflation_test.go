package encoding_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// TestPieces: a message that is inflated a piece at a time, by several goroutines,
// is the same, and so is what is wrong with it.
func TestPieces(t *testing.T) {
	text := strings.Repeat("a message in pieces ", 5000)
	for _, c := range encoding.Defaults() {
		whole := mustCompress(t, c, text)
		for _, tc := range []struct {
			name  string
			msg   *transport.Buffer
			limit int
			steps int // at least
			want  string
		}{
			{"whole", whole, 0, 24, ""},
			{"as long as the limit", whole, len(text), 24, ""},
			{"beyond the limit", whole, len(text) - 1, 24, encoding.ErrLimit.Error()},
			{"cut off", transport.WrapBuffer(whole.Bytes()[:whole.Len()-1]), 0, 24, "cut off"},
			{"no message", transport.WrapBuffer([]byte("no message at all")), 0, 1, "is broken"},
			{"empty", mustCompress(t, c, ""), 0, 1, ""},
		} {
			t.Run(c.Name()+"/"+tc.name, func(t *testing.T) {
				i, steps := encoding.Begin(c, tc.msg, tc.limit), 0
				for more := true; more; steps++ {
					var wg sync.WaitGroup
					wg.Go(func() { more = i.Step(4096) })
					wg.Wait()
				}
				if i.Step(1) {
					t.Error("there is more after the end")
				}
				out, err := i.End()
				switch {
				case steps < tc.steps:
					t.Errorf("done after %d steps, want %d", steps, tc.steps)
				case tc.want != "" && (out != nil || err == nil || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("End = %v, %v, want %q", out, err, tc.want)
				case tc.want == "" && (err != nil || out.WireLen != tc.msg.Len() || string(out.Bytes()) != text[:out.Len()]):
					t.Errorf("End = %v, %v", out, err)
				}
				out.Release()
			})
		}
	}
}

// TestStopped: a message that is not wanted any more ends at the next piece of what
// comes in or out, and one that is done stays what it is.
func TestStopped(t *testing.T) {
	zeros := bomb(t, 1<<20)
	for _, tc := range []struct {
		name  string
		msg   *transport.Buffer
		begin func(i *encoding.Inflation)
		want  error
	}{
		{"before it begins", zeros, func(i *encoding.Inflation) { i.Stop(); i.Step(0) }, encoding.ErrStopped},
		{"between two pieces", zeros, func(i *encoding.Inflation) { i.Step(1000); i.Stop(); i.Step(0) }, encoding.ErrStopped},
		{"given up without Stop", zeros, func(i *encoding.Inflation) { i.Step(1000) }, encoding.ErrStopped},
		{"when it is done", mustCompress(t, encoding.Gzip{}, "x"), func(i *encoding.Inflation) { i.Step(0); i.Stop() }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := encoding.Begin(encoding.Gzip{}, tc.msg, 4<<20)
			tc.begin(i)
			out, err := i.End()
			if err != tc.want || (out == nil) != (err != nil) {
				t.Errorf("End = %v, %v, want %v", out, err, tc.want)
			}
			out.Release()
		})
	}
}

// A readFunc is a function as a reader.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestStoppedInPieces: neither much that comes of little nor little that comes of much
// goes on for longer than a piece.
func TestStoppedInPieces(t *testing.T) {
	for name, read := range map[string]func(in io.Reader, p []byte) (int, error){
		"much comes of nothing": func(_ io.Reader, p []byte) (int, error) { return len(p), nil },
		"nothing comes of much": func(in io.Reader, _ []byte) (int, error) {
			n, err := io.Copy(io.Discard, in)
			if n > 4<<10 {
				t.Errorf("%d bytes were read after Stop", n)
			}
			return 0, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var i *encoding.Inflation
			reads := 0
			i = encoding.Begin(copier{func(in io.Reader) (io.Reader, error) {
				return readFunc(func(p []byte) (int, error) {
					reads++
					i.Stop()
					return read(in, p)
				}), nil
			}}, transport.WrapBuffer(make([]byte, 1<<20)), 0)
			for i.Step(1000) {
			}
			if out, err := i.End(); out != nil || err != encoding.ErrStopped || reads != 1 {
				t.Errorf("after %d reads: End = %v, %v, want ErrStopped after 1", reads, out, err)
			}
		})
	}
}

// TestInputOfUsers: what a decompressor reads is a reader as any other.
func TestInputOfUsers(t *testing.T) {
	text := strings.Repeat("plain ", 5000)
	var rest string
	out, err := encoding.Inflate(copier{func(r io.Reader) (io.Reader, error) {
		p, err := io.ReadAll(r)
		_, more := r.Read(make([]byte, 1))
		rest = string(p)
		return strings.NewReader(rest), errors.Join(err, map[bool]error{false: more}[more == io.EOF])
	}}, transport.WrapBuffer([]byte(text)), 0)
	if err != nil || string(out.Bytes()) != text {
		t.Errorf("Inflate = %v, %v", out, err)
	}
}

// A copier is a coding whose messages are what its function makes of them.
type copier struct {
	decompress func(r io.Reader) (io.Reader, error)
}

func (copier) Name() string                                { return "copy" }
func (copier) Compress(io.Writer) (io.WriteCloser, error)  { return nil, io.ErrClosedPipe }
func (c copier) Decompress(r io.Reader) (io.Reader, error) { return c.decompress(r) }

// TestPanicIsTold: who panicked, with what, and where.
func TestPanicIsTold(t *testing.T) {
	_, err := encoding.Inflate(copier{func(io.Reader) (io.Reader, error) { panic("why not") }}, transport.WrapBuffer(nil), 0)
	var p *encoding.Panic
	if !errors.As(err, &p) || p.Name != "copy" || p.Value != "why not" || !strings.Contains(string(p.Stack), "TestPanicIsTold") {
		t.Errorf("the error is %#v", err)
	}
}

// TestGoexit: a compressor that ends its goroutine leaves an error.
func TestGoexit(t *testing.T) {
	i := encoding.Begin(copier{func(io.Reader) (io.Reader, error) { runtime.Goexit(); return nil, nil }}, transport.WrapBuffer(nil), 0)
	var wg sync.WaitGroup
	wg.Go(func() { i.Step(0) })
	wg.Wait()
	if out, err := i.End(); out != nil || err == nil || !strings.Contains(err.Error(), `compressor "copy" ended the goroutine`) {
		t.Errorf("End = %v, %v", out, err)
	}
}

// An ahead is a coding whose reader has no Close, and reads on beside whoever reads of it.
type ahead struct{ goOn, read chan struct{} }

func (ahead) Name() string                               { return "ahead" }
func (ahead) Compress(io.Writer) (io.WriteCloser, error) { return nil, io.ErrClosedPipe }
func (a ahead) Decompress(r io.Reader) (io.Reader, error) {
	go func() {
		<-a.goOn
		for p := make([]byte, 1); ; {
			if _, err := r.Read(p); err != nil {
				close(a.read)
				return
			}
		}
	}()
	return strings.NewReader(strings.Repeat("x", 100)), nil
}

// TestReadsAhead: a compressor that does not know that a message was given up reads
// nothing of another one.
func TestReadsAhead(t *testing.T) {
	a := ahead{make(chan struct{}), make(chan struct{})}
	msg := transport.WrapBuffer([]byte("a message"))
	if _, err := encoding.Inflate(a, msg, 10); err != encoding.ErrLimit {
		t.Fatalf("the message ended with %v", err)
	}
	whole := mustCompress(t, encoding.Gzip{}, "another message")
	for n := range 10 {
		i := encoding.Begin(encoding.Gzip{}, whole, 0)
		if n == 0 {
			close(a.goOn)
			<-a.read
		}
		for i.Step(0) {
		}
		out, err := i.End()
		if err != nil || string(out.Bytes()) != "another message" {
			t.Errorf("another message ended with %v", err)
		}
		out.Release()
	}
}
