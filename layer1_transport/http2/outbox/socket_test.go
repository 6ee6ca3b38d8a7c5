package outbox

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// socketBuffer is small beside what the tests write, and large enough that
// TCP over loopback does not wait for delayed acknowledgements.
const socketBuffer = 64 << 10

// sockets returns two ends of a connection of the operating system.
func sockets(t testing.TB, network string) (writer, reader net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	lis, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	writer, err = net.Dial(network, lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	reader, err = lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close(); reader.Close() })
	type sized interface {
		SetWriteBuffer(int) error
		SetReadBuffer(int) error
	}
	if err := errors.Join(writer.(sized).SetWriteBuffer(socketBuffer), reader.(sized).SetReadBuffer(socketBuffer)); err != nil {
		t.Fatal(err)
	}
	return writer, reader
}

// fill returns a batch and its bytes.
func fill(pieces, size int) (Batch, []byte) {
	var o Outbox
	var want []byte
	for i := range pieces {
		buf := payload(size, byte(i))
		small(&o, []byte{byte(i), byte(i >> 8)})
		o.AppendPayload(buf, buf.Bytes())
		want = append(append(want, byte(i), byte(i>>8)), buf.Bytes()...)
		buf.Release()
	}
	small(&o, []byte("end"))
	return o.Take(), append(want, "end"...)
}

// TestTryWriteThenWrite: the first takes what fits without waiting, the second
// the rest, and the peer sees one sequence of bytes.
func TestTryWriteThenWrite(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for _, tc := range []struct {
			name         string
			pieces, size int
		}{
			{"one buffer", 0, 0},
			{"small pieces in one buffer", 3000, 1000},
			{"two large pieces", 2, 1 << 20},
			{"more pieces than one writev takes", 1100, copyLimit},
		} {
			t.Run(network+"/"+tc.name, func(t *testing.T) {
				writer, reader := sockets(t, network)
				s := NewSocket(writer)
				b, want := fill(tc.pieces, tc.size)
				n, err := s.TryWrite(&b)
				if err != nil {
					t.Fatal(err)
				}
				if wrote := n == b.Len(); wrote != (tc.pieces == 0) && runtime.GOOS == "linux" {
					t.Errorf("TryWrite took %d of %d bytes", n, b.Len())
				}
				got := make(chan []byte)
				go func() {
					p := make([]byte, len(want))
					m, _ := io.ReadFull(reader, p)
					got <- p[:m]
				}()
				if err := s.Write(&b, n, 20*time.Second); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(<-got, want) {
					t.Error("the peer got other bytes")
				}
			})
		}
	}
}

// TestWriteWithoutFile: other connections get the same bytes, whatever the
// number that went before.
func TestWriteWithoutFile(t *testing.T) {
	b, want := fill(5, 3*copyLimit)
	for _, skip := range []int{0, 1, 2, 3, copyLimit, 3*copyLimit + 2, len(want) - 3, len(want)} {
		writer, reader := memconn.Pipe()
		s := NewSocket(writer)
		if n, err := s.TryWrite(&b); n != 0 || err != nil {
			t.Fatalf("TryWrite = %d, %v", n, err)
		}
		if err := s.Write(&b, skip, time.Second); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, want[skip:]) {
			t.Errorf("without the first %d bytes the peer got %d, %v; want %d", skip, len(got), err, len(want)-skip)
		}
		reader.Close()
	}
}

// A wrapper has the file descriptor of the connection that it embeds, and a
// Write of its own.
type wrapper struct {
	*net.TCPConn
	sizes []int
}

func (w *wrapper) Write(p []byte) (int, error) {
	w.sizes = append(w.sizes, len(p))
	return w.TCPConn.Write(p)
}

// TestWrapperIsNotPassedBy: a connection that counts or encrypts sees every
// byte, in chunks of a good size.
func TestWrapperIsNotPassedBy(t *testing.T) {
	nc, reader := sockets(t, "tcp")
	w := &wrapper{TCPConn: nc.(*net.TCPConn)}
	s := NewSocket(w)
	b, want := fill(10, 20<<10)
	if n, err := s.TryWrite(&b); n != 0 || err != nil {
		t.Fatalf("TryWrite = %d, %v: it has passed by the wrapper", n, err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if err := s.Write(&b, 0, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i, n := range w.sizes {
		if n != chunkSize && i < len(w.sizes)-1 {
			t.Errorf("write %d of %d carries %d bytes, want %d", i, len(w.sizes), n, chunkSize)
		}
		sum += n
	}
	if sum != len(want) {
		t.Errorf("the wrapper saw %d bytes of %d", sum, len(want))
	}
}

// TestStall: a peer that takes nothing for the timeout ends the write, one
// that takes a little within it does not.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writer, reader := memconn.PipeSize(1000)
		defer writer.Close()
		s := NewSocket(writer)
		b, want := fill(1, copyLimit)
		start := time.Now()
		err := s.Write(&b, 0, 10*time.Second)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
		// One timeout for the first 1,000 bytes, one more for none.
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("gave up after %v, want 20s", took)
		}
		var slow sync.WaitGroup
		slow.Go(func() {
			p := make([]byte, 100)
			for {
				time.Sleep(9 * time.Second)
				if _, err := reader.Read(p); err != nil {
					return
				}
			}
		})
		if err := s.Write(&b, 1000, 10*time.Second); err != nil {
			t.Errorf("a slow peer: %v", err)
		}
		if took, least := time.Since(start), time.Duration(len(want)/100-20)*9*time.Second; took < least {
			t.Errorf("done after %v, want at least %v", took, least)
		}
		reader.Close()
		slow.Wait()
	})
}

// TestStallOnSocket is the same over TCP: the deadline is that of the kernel's
// connection, and partial writes count.
func TestStallOnSocket(t *testing.T) {
	writer, _ := sockets(t, "tcp")
	s := NewSocket(writer)
	b, _ := fill(2, 2<<20)
	n, err := s.TryWrite(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(&b, n, 20*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestWriteToClosed(t *testing.T) {
	b, _ := fill(1, copyLimit)
	writer, _ := sockets(t, "tcp")
	s := NewSocket(writer)
	writer.Close()
	if _, err := s.TryWrite(&b); runtime.GOOS == "linux" && err == nil {
		t.Error("TryWrite to a closed connection is no error")
	}
	if err := s.Write(&b, 0, time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write to a closed connection: %v", err)
	}
	mem, peer := memconn.Pipe()
	peer.Close()
	if err := NewSocket(mem).Write(&b, 0, time.Second); err == nil {
		t.Error("Write to a peer that has closed is no error")
	}
	mem.Close()
}

// TestPeerReset: an error of the kernel in the middle of a batch.
func TestPeerReset(t *testing.T) {
	writer, reader := sockets(t, "tcp")
	if err := reader.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	s := NewSocket(writer)
	b, _ := fill(2, 2<<20)
	n, err := s.TryWrite(&b)
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	if err := s.Write(&b, n, 20*time.Second); err == nil || isTimeout(err) {
		t.Errorf("got %v, want a reset", err)
	}
	if n, err := s.TryWrite(&b); runtime.GOOS == "linux" && err == nil {
		t.Errorf("TryWrite after a reset took %d bytes", n)
	}
}

func BenchmarkTryWrite(b *testing.B) {
	for _, bc := range []struct {
		name  string
		large int
	}{{"size=small", 0}, {"size=64KiB", 64 << 10}} {
		b.Run(bc.name, func(b *testing.B) {
			writer, reader := sockets(b, "unix")
			go func() { _, _ = io.Copy(io.Discard, reader) }()
			s := NewSocket(writer)
			w := oneWriter{s: s, buf: payload(max(bc.large, 1), 0), large: bc.large > 0}
			b.ReportAllocs()
			for b.Loop() {
				w.write(b)
			}
		})
	}
}

// A oneWriter writes as a connection does: the batch is a field, so that it
// is not allocated for each write.
type oneWriter struct {
	s     *Socket
	o     Outbox
	batch Batch
	buf   *transport.Buffer
	large bool
}

// write writes a small piece and, if large, buf.
func (w *oneWriter) write(t testing.TB) {
	w.o.Commit(append(w.o.Small(), "0123456789abcdef"...))
	if w.large {
		w.o.AppendPayload(w.buf, w.buf.Bytes())
	}
	w.batch = w.o.Take()
	n, err := w.s.TryWrite(&w.batch)
	if err == nil && n < w.batch.Len() {
		err = w.s.Write(&w.batch, n, 20*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.o.Recycle(w.batch)
}
