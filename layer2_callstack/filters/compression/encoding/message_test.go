package encoding_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

// mustCompress returns text coded by c, however long that is.
func mustCompress(t testing.TB, c encoding.Compressor, text string) *transport.Buffer {
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
	return transport.WrapBuffer(out.Bytes())
}

// The tests of gRPC core's byte_buffer_reader_test that are about codings. The
// others are about slices, of which a Buffer has one.

func TestReadNoneCompressedSlice(t *testing.T) {
	b := transport.WrapBuffer([]byte("test"))
	if b.Compressed || string(b.Bytes()) != "test" {
		t.Errorf("a message of its own bytes is %q, compressed %v", b.Bytes(), b.Compressed)
	}
}

func TestReadGzipCompressedSlice(t *testing.T) { testRead(t, encoding.Gzip{}) }

func TestReadDeflateCompressedSlice(t *testing.T) { testRead(t, encoding.Deflate{}) }

func testRead(t *testing.T, c encoding.Compressor) {
	text := strings.Repeat("a", 2048) // as gRPC core's input
	in := transport.WrapBuffer([]byte(text))
	packed, err := encoding.Compress(c, in)
	if err != nil || packed == nil || !packed.Compressed || packed.Len() >= len(text) {
		t.Fatalf("Compress = %v, %v", packed, err)
	}
	out, err := encoding.Inflate(c, packed, 2048)
	if err != nil || string(out.Bytes()) != text || out.Compressed || out.WireLen != packed.Len() {
		t.Errorf("Inflate = %v, %v", out, err)
	}
	out.Release()
	packed.Release()
}

func TestReadCorruptedSlice(t *testing.T) {
	for _, c := range encoding.Defaults() {
		out, err := encoding.Inflate(c, transport.WrapBuffer([]byte("test")), 100)
		if err == nil || out != nil || !strings.Contains(err.Error(), c.Name()) {
			t.Errorf("Inflate of what is no %s = %v, %v", c.Name(), out, err)
		}
	}
}

// TestReaderIsUsedAgain: state that comes from a pool does not remember the
// message before, whether that was whole, broken or too long.
func TestReaderIsUsedAgain(t *testing.T) {
	for _, c := range encoding.Defaults() {
		good := mustCompress(t, c, strings.Repeat("good", 1000))
		cut := transport.WrapBuffer(good.Bytes()[:good.Len()/2])
		for range 20 {
			for _, tc := range []struct {
				msg   *transport.Buffer
				limit int
				fails bool
			}{{good, 4000, false}, {cut, 4000, true}, {good, 3999, true}, {good, 0, false}} {
				out, err := encoding.Inflate(c, tc.msg, tc.limit)
				if err != nil != tc.fails || err == nil && out.Len() != 4000 {
					t.Fatalf("%s: Inflate(%d bytes, limit %d) = %v, %v", c.Name(), tc.msg.Len(), tc.limit, out, err)
				}
				out.Release()
			}
		}
	}
}

// TestManyAtOnce: a coding may be used by many goroutines.
func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		text := strings.Repeat(string(rune('a'+i)), 1000+i)
		wg.Go(func() {
			for range 50 {
				for _, c := range encoding.Defaults() {
					packed, err := encoding.Compress(c, transport.WrapBuffer([]byte(text)))
					if err != nil {
						t.Error(err)
						return
					}
					out, err := encoding.Inflate(c, packed, 0)
					if err != nil || string(out.Bytes()) != text {
						t.Errorf("%s: %v, %v", c.Name(), out, err)
						return
					}
					out.Release()
					packed.Release()
				}
			}
		})
	}
	wg.Wait()
}

// TestLevels: each level can be read, and a level that does not exist is refused.
func TestLevels(t *testing.T) {
	text := strings.Repeat("levels ", 500)
	for level := range 10 {
		for _, c := range []encoding.Compressor{encoding.Gzip{Level: level}, encoding.Deflate{Level: level}} {
			out, err := encoding.Inflate(c, mustCompress(t, c, text), 0)
			if err != nil || string(out.Bytes()) != text {
				t.Errorf("%s at level %d: %v, %v", c.Name(), level, out, err)
			}
		}
	}
	for _, c := range []encoding.Compressor{encoding.Gzip{Level: -1}, encoding.Deflate{Level: 10}} {
		if _, err := c.Compress(io.Discard); err == nil {
			t.Errorf("%#v takes its level", c)
		}
	}
}

// bomb returns gzip of n zero bytes, a small part of them.
func bomb(t testing.TB, n int) *transport.Buffer {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if _, err := io.CopyN(w, zeros{}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return transport.WrapBuffer(out.Bytes())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestBombs: what a message can make us allocate follows from the limit, not
// from what it would become.
func TestBombs(t *testing.T) {
	const limit = 1 << 20
	for _, size := range []int{limit + 1, 10 * limit} {
		msg := bomb(t, size)
		out, err := encoding.Inflate(encoding.Gzip{}, msg, limit) // fills the pools
		if err != encoding.ErrLimit || out != nil {
			t.Fatalf("Inflate of %d bytes = %v, %v", size, out, err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.GC() // and empties them
		runtime.ReadMemStats(&before)
		_, _ = encoding.Inflate(encoding.Gzip{}, msg, limit)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > limit*4/3+128<<10 {
			t.Errorf("a bomb of %d bytes, %d on the wire, allocated %d", size, msg.Len(), got)
		}
	}
}

// A badReader is a decompressor that does what none should.
type badReader struct {
	encoding.Gzip
	read func(p []byte) (int, error)
}

func (b badReader) Decompress(io.Reader) (io.Reader, error) { return b, nil }
func (b badReader) Read(p []byte) (int, error)              { return b.read(p) }

func TestReadersOfUsers(t *testing.T) {
	for _, tc := range []struct {
		name string
		read func(p []byte) (int, error)
		want string
	}{
		{"nothing for ever", func([]byte) (int, error) { return 0, nil }, "multiple Read calls return no data or error"},
		{"an error", func([]byte) (int, error) { return 0, errors.New("out of order") }, "the gzip data of the message is broken: out of order"},
		{"the end before the data", func([]byte) (int, error) { return 0, io.EOF }, "3 of the 3 bytes of the message are left behind the end"},
		{"more than there is room for", func(p []byte) (int, error) { return len(p) + 1<<30, nil }, "panicked"},
		{"a panic", func([]byte) (int, error) { panic("why not") }, `compressor "gzip" panicked: why not`},
		{"no end", func(p []byte) (int, error) { return len(p), nil }, encoding.ErrLimit.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, err := encoding.Inflate(badReader{read: tc.read}, transport.WrapBuffer([]byte("abc")), 1<<20)
			if err == nil || out != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Inflate = %v, %v, want %q", out, err, tc.want)
			}
		})
	}
}

func TestNoGain(t *testing.T) {
	for _, text := range []string{"x", "ab", "a short one"} {
		if out, err := encoding.Compress(encoding.Gzip{}, transport.WrapBuffer([]byte(text))); out != nil || err != nil {
			t.Errorf("Compress(%q) = %v, %v, want nil: it gets longer", text, out, err)
		}
	}
}

// FuzzInflate feeds arbitrary bytes: no panic, no more than the limit, and
// memory by the limit.
func FuzzInflate(f *testing.F) {
	for i, c := range encoding.Defaults() {
		f.Add(i == 0, mustCompress(f, c, strings.Repeat("seed", 100)).Bytes(), 1000)
		f.Add(i == 0, mustCompress(f, c, "").Bytes(), 1)
	}
	f.Add(true, bomb(f, 1<<20).Bytes(), 1<<16)
	f.Add(true, bytes.Repeat(mustCompress(f, encoding.Gzip{}, "").Bytes(), 50), 10)
	f.Add(true, []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 10)
	f.Fuzz(func(t *testing.T, gz bool, data []byte, limit int) {
		limit = 1 + limit&(1<<16-1)
		var c encoding.Compressor = encoding.Deflate{}
		if gz {
			c = encoding.Gzip{}
		}
		out, err := encoding.Inflate(c, transport.WrapBuffer(data), limit)
		switch {
		case err != nil && out != nil:
			t.Error("a message with an error")
		case err == nil && out.Len() > limit:
			t.Errorf("%d bytes pass the limit of %d", out.Len(), limit)
		case err == nil:
			back, err := encoding.Inflate(c, mustCompress(t, c, string(out.Bytes())), 0)
			if err != nil || !bytes.Equal(back.Bytes(), out.Bytes()) {
				t.Errorf("not the same after another round: %v", err)
			}
			back.Release()
		}
		out.Release()
	})
}
