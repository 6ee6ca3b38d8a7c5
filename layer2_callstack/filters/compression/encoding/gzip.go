package encoding

import (
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"sync"
)

// Gzip is the coding "gzip", RFC 1952.
type Gzip struct {
	// Level is 1, the fastest, to 9, the smallest. 0 is [DefaultLevel].
	Level int
}

// Deflate is the coding "deflate", which in gRPC as in HTTP is the format of
// zlib, RFC 1950, and not the bare one of RFC 1951.
type Deflate struct {
	// Level is 1, the fastest, to 9, the smallest. 0 is [DefaultLevel].
	Level int
}

// DefaultLevel is how hard messages are compressed where nobody says. Level 1
// takes half the time of zlib's own default, 6, or less, and its messages are up
// to a tenth longer: BenchmarkCompress.
const DefaultLevel = flate.BestSpeed

// Name returns "gzip".
func (Gzip) Name() string { return "gzip" }

// Name returns "deflate".
func (Deflate) Name() string { return "deflate" }

// Validate reports a level that does not exist.
func (g Gzip) Validate() error { return checkLevel(g.Level) }

// Validate reports a level that does not exist.
func (d Deflate) Validate() error { return checkLevel(d.Level) }

func checkLevel(level int) error {
	if level < 0 || level > flate.BestCompression {
		return fmt.Errorf("Level is %d, want 0 to %d", level, flate.BestCompression)
	}
	return nil
}

// The state of flate is large, 0.8 MB to write and 45 KB to read, and plain
// memory: it is pooled, writers by their level.
var (
	gzipWriters, zlibWriters [flate.BestCompression + 1]sync.Pool
	gzipReaders, zlibReaders sync.Pool
)

// A resetter is a writer of package gzip or zlib.
type resetter interface {
	io.WriteCloser
	Reset(io.Writer)
}

// A writer returns to its pool when it is closed.
type writer struct {
	resetter
	pool *sync.Pool
}

func (w *writer) Close() error {
	err := w.resetter.Close()
	w.pool.Put(w)
	return err
}

// Compress returns a writer from the pool.
func (g Gzip) Compress(w io.Writer) (io.WriteCloser, error) {
	return newWriter(&gzipWriters, g.Level, w, func(level int) (resetter, error) { return gzip.NewWriterLevel(w, level) })
}

// Compress returns a writer from the pool.
func (d Deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	return newWriter(&zlibWriters, d.Level, w, func(level int) (resetter, error) { return zlib.NewWriterLevel(w, level) })
}

func newWriter(pools *[flate.BestCompression + 1]sync.Pool, level int, w io.Writer, create func(int) (resetter, error)) (io.WriteCloser, error) {
	if err := checkLevel(level); err != nil {
		return nil, err
	}
	if level == 0 {
		level = DefaultLevel
	}
	pool := &pools[level]
	if z, ok := pool.Get().(*writer); ok {
		z.Reset(w)
		return z, nil
	}
	z, err := create(level)
	if err != nil {
		return nil, err
	}
	return &writer{z, pool}, nil
}

// A gzipReader returns to its pool when it is closed. Concatenated members are
// one message, RFC 1952 §2.2.
type gzipReader struct{ gzip.Reader }

// Decompress returns a reader from the pool, or says why r does not begin as
// gzip does.
func (Gzip) Decompress(r io.Reader) (io.Reader, error) {
	z, ok := gzipReaders.Get().(*gzipReader)
	if !ok {
		z = new(gzipReader)
	}
	if err := z.Reset(r); err != nil {
		gzipReaders.Put(z)
		return nil, err
	}
	return z, nil
}

// Close returns the reader to its pool.
func (z *gzipReader) Close() error {
	err := z.Reader.Close()
	gzipReaders.Put(z)
	return err
}

// A zlibReader returns to its pool when it is closed.
type zlibReader struct{ io.ReadCloser }

// Decompress returns a reader from the pool, or says why r does not begin as
// zlib's format does.
func (Deflate) Decompress(r io.Reader) (io.Reader, error) {
	if z, ok := zlibReaders.Get().(*zlibReader); ok {
		if err := z.ReadCloser.(zlib.Resetter).Reset(r, nil); err != nil {
			zlibReaders.Put(z)
			return nil, err
		}
		return z, nil
	}
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, err
	}
	return &zlibReader{z}, nil
}

// Close returns the reader to its pool.
func (z *zlibReader) Close() error {
	err := z.ReadCloser.Close()
	zlibReaders.Put(z)
	return err
}
