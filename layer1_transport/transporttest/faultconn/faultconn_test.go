package faultconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// pattern returns n octets of which no two neighbours are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// tcp returns the two ends of a connection over loopback.
func tcp(t testing.TB) (client, server net.Conn) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if client, err = net.Dial("tcp", lis.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = lis.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestConn runs the contract of net.Conn that the Go team wrote down as tests,
// under plans that nobody may notice.
func TestConn(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6}
	if testing.Short() {
		seeds = seeds[:2]
	}
	for name, ends := range map[string]func() (net.Conn, net.Conn){
		"memory": memconn.Pipe,
		"tcp":    func() (net.Conn, net.Conn) { return tcp(t) },
	} {
		for _, seed := range seeds {
			plans := []Plan{Benign(seed), Benign(seed + 100)}
			if name == "tcp" {
				for i := range plans {
					// What the buffers of the kernel hold takes minutes by the octet.
					plans[i].Read.MaxChunk = max(plans[i].Read.MaxChunk, 1000)
					plans[i].Write.MaxChunk = max(plans[i].Write.MaxChunk, 1000)
				}
			}
			t.Run(fmt.Sprintf("%s, %v", name, plans[0]), func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					a, b := ends()
					c1, c2 = Wrap(a, plans[0]), Wrap(b, plans[1])
					return c1, c2, func() { c1.Close(); c2.Close() }, nil
				})
			})
		}
	}
}

// bubbles runs a test in two bubbles, one after the other: nothing of the
// first may be left where the second can meet it.
func bubbles(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	for range 2 {
		synctest.Test(t, f)
	}
}

// reads returns the sizes of the pieces in which c reads n octets, and when
// each came.
func reads(t *testing.T, c net.Conn, n, size int) (sizes []int, times []time.Duration) {
	t.Helper()
	start := time.Now()
	b := make([]byte, size)
	for n > 0 {
		k, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		n -= k
		sizes, times = append(sizes, k), append(times, time.Since(start))
	}
	return sizes, times
}

// TestSeedDecides: the same plan cuts and delays the same, another seed does
// not, and how the octets were written changes nothing.
func TestSeedDecides(t *testing.T) {
	side := Side{MaxChunk: 30, Delay: time.Second, DelayEvery: 2}
	run := func(t *testing.T, seed uint64, writes int) (sizes []int, times []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c, s := Pipe(Plan{}, Plan{Seed: seed, Read: side})
			defer c.Close()
			defer s.Close()
			for p := range slices.Chunk(pattern(1000), 1000/writes) {
				c.Write(p)
			}
			sizes, times = reads(t, s, 1000, 1000)
		})
		return sizes, times
	}
	sizes, times := run(t, 7, 1)
	again, againTimes := run(t, 7, 10)
	if !slices.Equal(sizes, again) || !slices.Equal(times, againTimes) {
		t.Errorf("one seed gave\n%v %v\nand\n%v %v", sizes, times, again, againTimes)
	}
	if other, _ := run(t, 8, 1); slices.Equal(sizes, other) {
		t.Errorf("two seeds gave both %v", sizes)
	}
	if len(sizes) < 1000/30 || times[len(times)-1] == 0 {
		t.Errorf("1000 octets came in %d pieces within %v", len(sizes), times[len(times)-1])
	}
}

// TestPieceEndsWhereThePlanSays: a reader that asks for less than a piece does
// not move the end of it.
func TestPieceEndsWhereThePlanSays(t *testing.T) {
	c, s := Pipe(Plan{}, Plan{Seed: 3, Read: Side{MaxChunk: 30}})
	defer c.Close()
	c.Write(pattern(1000))
	sizes, _ := reads(t, s, 1000, 1000)
	c2, s2 := Pipe(Plan{}, Plan{Seed: 3, Read: Side{MaxChunk: 30}})
	defer c2.Close()
	c2.Write(pattern(1000))
	small, _ := reads(t, s2, 1000, 4)
	ends := map[int]bool{}
	for at, i := 0, 0; i < len(small); i++ {
		at += small[i]
		ends[at] = true
	}
	at := 0
	for _, n := range sizes {
		if at += n; !ends[at] {
			t.Errorf("no read ended at %d, where a piece does", at)
		}
	}
	s.Close()
	s2.Close()
}

// TestStall is exact in a bubble, in both directions.
func TestStall(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		stall := Side{Faults: []Fault{{At: 10, Kind: Stall, For: time.Hour}, {At: 10, Kind: Stall, For: time.Minute}}}
		for _, plan := range []Plan{{Read: stall}, {Write: stall}} {
			a, b := memconn.Pipe()
			f := Wrap(a, plan)
			w, r := net.Conn(f), b
			if len(plan.Read.Faults) > 0 {
				w, r = b, f
			}
			start := time.Now()
			go w.Write(pattern(20))
			got := make([]byte, 10)
			if _, err := io.ReadFull(r, got); err != nil || time.Since(start) != 0 {
				t.Errorf("the first octets: %v after %v", err, time.Since(start))
			}
			if _, err := io.ReadFull(r, got); err != nil || got[0] != 10 || time.Since(start) != time.Hour+time.Minute {
				t.Errorf("the others: %d, %v after %v; want 10 after 1h1m", got[0], err, time.Since(start))
			}
			read, write := f.Struck()
			if len(read)+len(write) != 2 {
				t.Errorf("struck: %v %v, want both stalls", read, write)
			}
			f.Close()
			b.Close()
		}
	})
}

// TestRelease: a stall without a time lasts until Release, and one that comes
// after it does not last at all.
func TestRelease(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, s := Pipe(Plan{Write: Side{Faults: []Fault{{At: 3, Kind: Stall}, {At: 5, Kind: Stall}}}}, Plan{})
		defer s.Close()
		defer c.Close()
		done := false
		go func() { c.Write(pattern(9)); done = true }()
		time.Sleep(time.Hour)
		if _, written := c.Passed(); written != 3 || done {
			t.Fatalf("%d octets were written before the release, want 3", written)
		}
		c.Release()
		synctest.Wait()
		if _, written := c.Passed(); written != 9 || !done {
			t.Errorf("%d octets were written after the release, want 9", written)
		}
	})
}

// TestDeadlineEndsAStall: and the next operation waits for the rest of it.
func TestDeadlineEndsAStall(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, s := Pipe(Plan{Write: Side{Faults: []Fault{{At: 3, Kind: Stall, For: time.Minute}}}}, Plan{})
		defer s.Close()
		defer c.Close()
		start := time.Now()
		c.SetWriteDeadline(start.Add(time.Second))
		n, err := c.Write(pattern(5))
		if n != 3 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Write = %d, %v after %v; want 3 and a timeout after 1s", n, err, time.Since(start))
		}
		c.SetWriteDeadline(time.Time{})
		if n, err := c.Write(pattern(2)); n != 2 || err != nil || time.Since(start) != time.Minute {
			t.Errorf("Write = %d, %v after %v; want 2 after 1m", n, err, time.Since(start))
		}
	})
}

// TestCloseEndsAStall: whoever waits, for the plan or for a turn, stops.
func TestCloseEndsAStall(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		stall := Side{Faults: []Fault{{Kind: Stall}}}
		c, s := Pipe(Plan{Read: stall, Write: stall}, Plan{})
		defer s.Close()
		var wg sync.WaitGroup
		for _, op := range []func([]byte) (int, error){c.Read, c.Read, c.Write, c.Write} {
			wg.Go(func() {
				if n, err := op(make([]byte, 1)); n != 0 || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%d, %v; want net.ErrClosed", n, err)
				}
			})
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// TestFaults are those that last: what this end gets at the octet, and after
// it, and what the peer does.
func TestFaults(t *testing.T) {
	own := errors.New("an error of the test's own")
	for _, tc := range []struct {
		name     string
		fault    Fault
		read     error // of this end
		write    error
		peerRead error
	}{
		{"reset", Fault{At: 5, Kind: Reset}, syscall.ECONNRESET, syscall.ECONNRESET, io.EOF},
		{"close", Fault{At: 5, Kind: Close}, io.EOF, syscall.EPIPE, io.EOF},
		{"an error of one's own", Fault{At: 5, Kind: Reset, Err: own}, own, own, io.EOF},
	} {
		check := func(t *testing.T, plan Plan) {
			a, peer := memconn.Pipe()
			c := Wrap(a, plan)
			defer peer.Close()
			b := make([]byte, 10)
			peer.Write(b)
			if len(plan.Write.Faults) > 0 {
				if n, err := c.Write(b); n != 5 || !errors.Is(err, tc.write) {
					t.Errorf("Write = %d, %v; want 5, %v", n, err, tc.write)
				}
			}
			for range 2 {
				n, err := c.Read(b)
				if len(plan.Read.Faults) > 0 && n == 5 {
					continue // those before the fault
				}
				if n != 0 || !errors.Is(err, tc.read) {
					t.Errorf("Read = %d, %v; want %v", n, err, tc.read)
				}
			}
			if _, err := c.Write(b); !errors.Is(err, tc.write) || !strings.Contains(err.Error(), "plan 9") {
				t.Errorf("Write: %v, want %v and the seed", err, tc.write)
			}
			for {
				if _, err := peer.Read(b); err != nil {
					if !errors.Is(err, tc.peerRead) {
						t.Errorf("the peer reads %v, want %v", err, tc.peerRead)
					}
					break
				}
			}
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if _, err := c.Read(b); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read after Close: %v", err)
			}
		}
		side := Side{Faults: []Fault{tc.fault}}
		t.Run(tc.name+" while reading", func(t *testing.T) {
			bubbles(t, func(t *testing.T) { check(t, Plan{Seed: 9, Read: side}) })
		})
		t.Run(tc.name+" while writing", func(t *testing.T) {
			bubbles(t, func(t *testing.T) { check(t, Plan{Seed: 9, Write: side}) })
		})
	}
}

// TestFail: the other direction works on.
func TestFail(t *testing.T) {
	c, s := Pipe(Plan{Write: Side{Faults: []Fault{{At: 2, Kind: Fail}}}}, Plan{Read: Side{Faults: []Fault{{At: 1, Kind: Fail}}}})
	defer c.Close()
	defer s.Close()
	for range 2 {
		if _, err := c.Write(pattern(5)); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write: %v, want EPIPE", err)
		}
	}
	s.Write([]byte("hello"))
	b := make([]byte, 10)
	if n, err := c.Read(b); n != 5 || err != nil {
		t.Errorf("Read = %d, %v; want 5", n, err)
	}
	if n, err := s.Read(b); n != 1 || err != nil {
		t.Errorf("the peer's Read = %d, %v; want 1", n, err)
	}
	if _, err := s.Read(b); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer's Read: %v, want ECONNRESET", err)
	}
	if read, _ := s.Struck(); len(read) != 1 || read[0].At != 1 {
		t.Errorf("struck: %v", read)
	}
}

// TestResetOverTCP: a real peer sees a real reset, and an operation under way
// in the other direction ends.
func TestResetOverTCP(t *testing.T) {
	a, peer := tcp(t)
	defer peer.Close()
	c := Wrap(a, Plan{Write: Side{Faults: []Fault{{At: 1, Kind: Reset}}}})
	read := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	if n, err := c.Write(pattern(5)); n != 1 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Write = %d, %v; want 1 and a reset", n, err)
	}
	if err := <-read; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the read under way: %v, want a reset", err)
	}
	if _, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer: %v, want a reset", err)
	}
}

// TestSilence: writes seem to work and reads wait, for the deadline alone.
func TestSilence(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		gone := Side{Faults: []Fault{{At: 2, Kind: Silence}}}
		c, s := Pipe(Plan{Read: gone, Write: gone}, Plan{})
		defer s.Close()
		if n, err := c.Write(pattern(5)); n != 5 || err != nil {
			t.Errorf("Write = %d, %v; want 5", n, err)
		}
		b := make([]byte, 10)
		if n, err := s.Read(b); n != 2 || err != nil {
			t.Errorf("the peer's Read = %d, %v; want 2", n, err)
		}
		s.Write(pattern(5))
		if n, err := c.Read(b); n != 2 || err != nil {
			t.Errorf("Read = %d, %v; want 2", n, err)
		}
		c.Release() // a stall would end
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Hour))
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("Read: %v after %v, want a timeout after 1h", err, time.Since(start))
		}
		c.Close()
	})
}

// TestCorrupt: one octet changes, on its way, and not in the caller's memory.
func TestCorrupt(t *testing.T) {
	side := Side{MaxChunk: 3, Faults: []Fault{{At: 4, Kind: Corrupt, Mask: 0x80}, {At: 7, Kind: Corrupt}}}
	for name, plans := range map[string][2]Plan{
		"writing": {{Write: side}, {}},
		"reading": {{}, {Read: side}},
	} {
		c, s := Pipe(plans[0], plans[1])
		sent := pattern(20)
		if _, err := c.Write(sent); err != nil || !bytes.Equal(sent, pattern(20)) {
			t.Errorf("%s: Write: %v, and the memory of the caller holds %v", name, err, sent)
		}
		c.Close()
		got, err := io.ReadAll(s)
		want := pattern(20)
		want[4] ^= 0x80
		want[7] ^= 1
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, want)
		}
		_, written := c.Struck()
		read, _ := s.Struck()
		if len(written)+len(read) != 2 {
			t.Errorf("%s: struck: %v %v, want both", name, written, read)
		}
		s.Close()
	}
}

// TestWritesDoNotMix: also where they are cut and wait.
func TestWritesDoNotMix(t *testing.T) {
	bubbles(t, func(t *testing.T) {
		c, s := Pipe(Plan{Write: Side{MaxChunk: 3, Delay: time.Millisecond}}, Plan{})
		const writers, size = 4, 100
		for i := range writers {
			go c.Write(bytes.Repeat([]byte{'a' + byte(i)}, size))
		}
		got := make([]byte, writers*size)
		if _, err := io.ReadFull(s, got); err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(got, size) {
			if !bytes.Equal(part, bytes.Repeat(part[:1], size)) {
				t.Errorf("a write is mixed: %q", part)
			}
		}
		c.Close()
		s.Close()
	})
}

func TestCloseWrite(t *testing.T) {
	a, peer := tcp(t)
	c := Wrap(a, Plan{})
	defer c.Close()
	defer peer.Close()
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer reads %v, want io.EOF", err)
	}
	m, other := Pipe(Plan{}, Plan{})
	defer m.Close()
	defer other.Close()
	if err := m.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CloseWrite in memory: %v, want ErrUnsupported", err)
	}
}
