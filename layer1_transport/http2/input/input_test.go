package input

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

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
	if writer, err = net.Dial(network, lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if reader, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close(); reader.Close() })
	return writer, reader
}

// kinds are the connections that are read in different ways.
func kinds(t testing.TB) map[string]func() (writer, reader net.Conn) {
	return map[string]func() (net.Conn, net.Conn){
		"tcp":     func() (net.Conn, net.Conn) { return sockets(t, "tcp") },
		"unix":    func() (net.Conn, net.Conn) { return sockets(t, "unix") },
		"memory":  func() (net.Conn, net.Conn) { return memconn.Pipe() },
		"octets":  func() (net.Conn, net.Conn) { a, b := memconn.Pipe(); return a, memconn.OneByte(b) },
		"wrapper": func() (net.Conn, net.Conn) { a, b := sockets(t, "tcp"); return a, struct{ net.Conn }{b} },
	}
}

// frames returns frames of the sizes, with contents of their own. Their type is
// unknown, so that they come whole.
func frames(sizes ...int) (wire []byte, payloads [][]byte) { return framesOf(0xff, sizes...) }

func framesOf(kind frame.Type, sizes ...int) (wire []byte, payloads [][]byte) {
	for i, n := range sizes {
		p := make([]byte, n)
		_, _ = rand.Read(p) // which never fails
		payloads = append(payloads, p)
		wire = append(frame.AppendHeader(wire, n, kind, frame.FlagEndStream, uint32(2*i+1)), p...)
	}
	return wire, payloads
}

// longInput is an input that takes long frames too.
func longInput(nc net.Conn) *Input {
	in := New(nc)
	in.AllowLong()
	return in
}

// next waits for the next frame.
func next(in *Input) (frame.Header, []byte, error) {
	for {
		h, p, err := in.Next()
		if err != nil || p != nil {
			return h, p, err
		}
		if n, err := in.Read(nil); err != nil {
			return h, nil, err
		} else if n == 0 {
			return h, nil, errors.New("Read returned neither bytes nor an error")
		}
	}
}

// TestFramesComeWhole: frames of all sizes come out as they went in, on every
// kind of connection, and then the end.
func TestFramesComeWhole(t *testing.T) {
	const most = frame.MinMaxFrameSize
	sizes := []int{0, 1, 100, smallSize - frame.HeaderLen, smallSize, 4096, most, most, most - 1, 0, 0, 5, most, 300, 200, 100, most,
		LongFrame, 0, LongFrame, LongFrame - 1, 1, most}
	for name, pair := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			writer, reader := pair()
			wire, payloads := frames(sizes...)
			go func() {
				_, _ = writer.Write(wire) // the reader would miss frames
				writer.Close()
			}()
			in := longInput(reader)
			for i, want := range payloads {
				h, got, err := next(in)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if h.StreamID != uint32(2*i+1) || !bytes.Equal(got, want) {
					t.Fatalf("frame %d is %v with %d bytes, want %d", i, h, len(got), len(want))
				}
			}
			if _, _, err := next(in); err != io.EOF {
				t.Errorf("after the last frame: %v, want io.EOF", err)
			}
			in.Close()
		})
	}
}

// TestSkipReturnsTheRestAtOnce: what came behind a preface needs no further
// bytes to be seen.
func TestSkipReturnsTheRestAtOnce(t *testing.T) {
	writer, reader := sockets(t, "tcp")
	wire, payloads := frames(10)
	if _, err := writer.Write(append([]byte("hello"), wire...)); err != nil {
		t.Fatal(err)
	}
	in := longInput(reader)
	for len(in.Bytes()) < len("hello")+len(wire) {
		if _, err := in.Read(nil); err != nil {
			t.Fatal(err)
		}
	}
	in.Skip(len("hello"))
	n, err := in.Read(nil)
	if n != len(wire) || err != nil {
		t.Fatalf("Read = %d, %v, want the %d bytes that are there", n, err, len(wire))
	}
	if _, p, err := in.Next(); !bytes.Equal(p, payloads[0]) || err != nil {
		t.Errorf("the frame has %d bytes, %v", len(p), err)
	}
}

// TestTooLongFrame: RFC 9113 §4.2. What is too long depends on what the peer
// was told.
func TestTooLongFrame(t *testing.T) {
	for _, longest := range []int{frame.MinMaxFrameSize, LongFrame} {
		writer, reader := memconn.Pipe()
		in := New(reader)
		if longest == LongFrame {
			in.AllowLong()
		}
		wire, _ := framesOf(frame.TypeHeaders, longest)
		if _, err := writer.Write(frame.AppendDataHeader(wire, 1, false, longest+1)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := next(in); err != nil || len(p) != longest {
			t.Errorf("a frame of %d bytes: %d bytes, %v", longest, len(p), err)
		}
		var e *frame.Error
		if _, _, err := next(in); !errors.As(err, &e) || e.Code != frame.CodeFrameSize {
			t.Errorf("a frame of %d bytes: error %v, want FRAME_SIZE_ERROR", longest+1, err)
		}
		writer.Close()
		reader.Close()
	}
}

// memory returns how large the buffer is with which in waits. On a socket it is
// seen after an attempt that finds nothing, elsewhere at a deadline.
func (in *Input) memory(t *testing.T, reader net.Conn) int {
	t.Helper()
	for {
		if _, p, err := in.Next(); err != nil {
			t.Fatal(err)
		} else if p == nil {
			break
		}
	}
	if in.raw != nil {
		err := in.raw.Read(func(fd uintptr) bool {
			if in.tryFD(fd) {
				t.Errorf("an attempt brought %d bytes, %v", in.n, in.err)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(in.buf)
	}
	if err := reader.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Read(nil); err == nil {
		t.Fatalf("Read = %d bytes, want a wait", n)
	}
	if err := reader.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	return len(in.buf)
}

// TestMemoryWhileWaiting: none without a frame in progress, little for the
// beginning of one, all for most of one.
func TestMemoryWhileWaiting(t *testing.T) {
	const most = frame.MinMaxFrameSize
	for _, tc := range []struct {
		name      string
		come      int // bytes of a frame of most bytes, behind others
		tcp, memo int // the memory on a socket and elsewhere
	}{
		{"no frame", 0, 0, smallSize},
		{"one byte", 1, smallSize, smallSize},
		{"a few bytes", smallSize / 2, smallSize, smallSize},
		{"most of a frame", most - 10, largeSize, largeSize},
	} {
		if canTry {
			t.Run("tcp/"+tc.name, func(t *testing.T) {
				writer, reader := sockets(t, "tcp")
				checkMemory(t, writer, reader, tc.come, tc.tcp)
			})
		}
		t.Run("memory/"+tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				writer, reader := memconn.Pipe()
				checkMemory(t, writer, reader, tc.come, tc.memo)
				writer.Close()
				reader.Close()
			})
		})
	}
}

// checkMemory lets frames come, the last only in part, looks at the memory,
// and then lets the rest come.
func checkMemory(t *testing.T, writer, reader net.Conn, come, want int) {
	in := longInput(reader)
	first, _ := frames(frame.MinMaxFrameSize, 100)
	last, payloads := frames(frame.MinMaxFrameSize)
	small, _ := frames(10)
	send := func(p []byte) {
		if _, err := writer.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	send(first)
	for range 2 {
		if _, _, err := next(in); err != nil {
			t.Fatal(err)
		}
	}
	send(small)
	if _, _, err := next(in); err != nil {
		t.Fatal(err)
	}
	send(last[:come])
	for len(in.Bytes()) < come {
		if _, err := in.Read(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := in.memory(t, reader); got != want {
		t.Errorf("the reader waits with %d bytes of memory, want %d", got, want)
	}
	send(last[come:])
	if _, p, err := next(in); err != nil || !bytes.Equal(p, payloads[0]) {
		t.Errorf("the frame has %d bytes, %v", len(p), err)
	}
	if in.Close(); in.buf != nil || len(in.Bytes()) != 0 {
		t.Error("Close left a buffer")
	}
}

// TestErrors: the deadline, a reset and the end of the connection are told
// apart as those of package net are.
func TestErrors(t *testing.T) {
	writer, reader := sockets(t, "tcp")
	in := longInput(reader)
	if err := reader.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := in.Read(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("after the deadline: %v", err)
	}
	if err := reader.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := writer.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if _, err := in.Read(nil); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset: %v", err)
	}
	reader.Close()
	if _, err := in.Read(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// pieces is a connection whose reads return the bytes of wire in pieces.
type pieces struct {
	net.Conn
	wire, sizes []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.wire) == 0 {
		return 0, io.EOF
	}
	n := len(p.wire)
	if len(p.sizes) > 0 {
		n = int(p.sizes[0])*int(p.sizes[0])/2 + 1
		p.sizes = p.sizes[1:]
	}
	n = copy(b, p.wire[:min(n, len(p.wire))])
	p.wire = p.wire[n:]
	return n, nil
}

// dataSizes are lengths of DATA frames around all that matters.
var dataSizes = []int{0, 1, 100, leastPart, 16384, LongFrame, 16384, 16384, 3, LongFrame, LongFrame - 1, 5, 20000}

// TestLongDataComesInParts: put together again they are what was sent, wherever
// they were read to, and only the last of each ends the stream.
func TestLongDataComesInParts(t *testing.T) {
	for name, pair := range kinds(t) {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/direct=%v", name, direct), func(t *testing.T) {
				writer, reader := pair()
				wire, payloads := framesOf(frame.TypeData, dataSizes...)
				go func() {
					_, _ = writer.Write(wire) // the reader would miss frames
					writer.Close()
				}()
				in := longInput(reader)
				for i, want := range payloads {
					got, parts, err := nextData(in, direct)
					if err != nil {
						t.Fatalf("frame %d: %v", i, err)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("frame %d of %d bytes came as %d other bytes in %d parts", i, len(want), len(got), parts)
					}
				}
				if _, _, err := nextData(in, direct); err != io.EOF {
					t.Errorf("after the last frame: %v, want io.EOF", err)
				}
			})
		}
	}
}

// nextData puts the parts of a frame together. With direct it gives Read memory
// for them.
func nextData(in *Input, direct bool) (got []byte, parts int, err error) {
	memory := make([]byte, LongFrame)
	for {
		h, p, err := in.Next()
		if err != nil {
			return nil, 0, err
		}
		if p != nil {
			if int(h.Length) != len(p) || parts > 0 && len(p) == 0 {
				return nil, 0, fmt.Errorf("part %d is %v with %d bytes", parts, h, len(p))
			}
			got = append(got, p...)
			parts++
			if h.Flags.Has(frame.FlagEndStream) {
				return got, parts, nil
			}
			continue
		}
		var dst []byte
		if _, n := in.Pending(); direct {
			dst = memory[:n]
		}
		if n, err := in.Read(dst); err != nil {
			return nil, 0, err
		} else if n == 0 {
			return nil, 0, errors.New("Read returned neither bytes nor an error")
		}
	}
}

// TestPartsNeedNoBuffer: while a long DATA frame is under way there is no
// memory but that of its message.
func TestPartsNeedNoBuffer(t *testing.T) {
	if !canTry {
		t.Skip("on this system nobody knows whether bytes are there")
	}
	writer, reader := sockets(t, "tcp")
	in := longInput(reader)
	wire, _ := framesOf(frame.TypeData, LongFrame)
	if _, err := writer.Write(wire[:40000]); err != nil {
		t.Fatal(err)
	}
	for came := 0; came < 40000-frame.HeaderLen; {
		_, p, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		came += len(p)
		if p == nil {
			if _, err := in.Read(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := in.memory(t, reader); got != 0 {
		t.Errorf("the reader waits with %d bytes of memory, want none", got)
	}
	if id, n := in.Pending(); id != 1 || n != len(wire)-40000 {
		t.Errorf("Pending = %d bytes of stream %d, want %d of stream 1", n, id, len(wire)-40000)
	}
}

// TestWholeKeepsDataTogether: for who counts frames.
func TestWholeKeepsDataTogether(t *testing.T) {
	writer, reader := sockets(t, "tcp")
	wire, payloads := framesOf(frame.TypeData, dataSizes...)
	go func() {
		_, _ = writer.Write(wire) // the reader would miss frames
		writer.Close()
	}()
	in := longInput(reader)
	in.Whole()
	for i, want := range payloads {
		if got, parts, err := nextData(in, false); err != nil || parts != 1 || !bytes.Equal(got, want) {
			t.Fatalf("frame %d of %d bytes: %d bytes in %d parts, %v", i, len(want), len(got), parts, err)
		}
	}
}

// FuzzSplit: however the bytes are divided, the same frames come.
func FuzzSplit(f *testing.F) {
	wire, _ := frames(0, 5, 600, frame.MinMaxFrameSize, frame.MinMaxFrameSize, 3)
	data, _ := framesOf(frame.TypeData, 0, 5, 600, 40000, 20000, 3)
	f.Add(append(wire, data...), []byte{0, 0, 30, 1, 200, 255, 255, 0, 250}, false)
	f.Add(append(data, wire...), []byte{0, 90, 30, 1, 200, 255, 255, 0, 250}, true)
	f.Add(wire[:20], []byte{}, true)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), []byte{9}, false)
	f.Fuzz(func(t *testing.T, wire, sizes []byte, direct bool) {
		in, rest := longInput(&pieces{wire: wire, sizes: sizes}), wire
		for {
			h, p, err := nextWhole(in, direct)
			if err != nil {
				if whole := wholeFrame(rest); whole > 0 {
					t.Fatalf("%v although a frame of %d bytes is there", err, whole)
				}
				return
			}
			n := wholeFrame(rest)
			if n == 0 || h != frame.ParseHeader(rest) || !bytes.Equal(p, rest[frame.HeaderLen:n]) {
				t.Fatalf("got %v with %d bytes of %d that are left", h, len(p), len(rest))
			}
			rest = rest[n:]
		}
	})
}

// nextWhole puts the parts of a frame together again.
func nextWhole(in *Input, direct bool) (frame.Header, []byte, error) {
	var whole frame.Header
	var got []byte
	memory := make([]byte, LongFrame)
	for {
		h, p, err := in.Next()
		if err != nil {
			return h, nil, err
		}
		if p != nil {
			whole.Type, whole.StreamID = h.Type, h.StreamID
			whole.Length += h.Length
			whole.Flags |= h.Flags
			got = append(got, p...)
			if in.left == 0 {
				return whole, got, nil
			}
			continue
		}
		var dst []byte
		if _, n := in.Pending(); direct {
			dst = memory[:n]
		}
		if _, err := in.Read(dst); err != nil {
			return h, nil, err
		}
	}
}

// wholeFrame returns the length of the frame that b begins with, 0 if there is none.
func wholeFrame(b []byte) int {
	if len(b) < frame.HeaderLen {
		return 0
	}
	h := frame.ParseHeader(b)
	n := frame.HeaderLen + int(h.Length)
	if h.Length > LongFrame || n > len(b) {
		return 0
	}
	return n
}

// BenchmarkRead is a small frame that goes over a socket and is read.
func BenchmarkRead(b *testing.B) {
	writer, reader := sockets(b, "unix")
	in := longInput(reader)
	wire, _ := frames(100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := writer.Write(wire); err != nil {
			b.Fatal(err)
		}
		if _, _, err := next(in); err != nil {
			b.Fatal(err)
		}
	}
}
