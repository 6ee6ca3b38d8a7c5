package http2

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// longLine returns the ends of a connection with a delay each way. Any number of
// bytes may be on their way, so that only windows limit a sender.
func longLine(t *testing.T, delay time.Duration) (c, s net.Conn) {
	c, near := memconn.Pipe()
	far, s := memconn.Pipe()
	var lines sync.WaitGroup
	t.Cleanup(lines.Wait)
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		type parcel struct {
			due  time.Time
			data []byte
		}
		line := make(chan parcel, 1<<16)
		lines.Go(func() {
			defer close(line)
			for {
				p := make([]byte, 64<<10)
				n, err := ends[0].Read(p)
				line <- parcel{time.Now().Add(delay), p[:n]}
				if err != nil {
					return
				}
			}
		})
		lines.Go(func() {
			defer ends[1].Close()
			for p := range line {
				time.Sleep(time.Until(p.due))
				if _, err := ends[1].Write(p.data); err != nil {
					_, _ = io.Copy(io.Discard, ends[0])
				}
			}
		})
	}
	return c, s
}

// connectBoth makes the transports of the ends of a connection.
func connectBoth(t *testing.T, c, s net.Conn, cfg Config) (client, server *conn) {
	t.Helper()
	var accepted transport.Transport
	var err error
	var wg sync.WaitGroup
	wg.Go(func() {
		accepted, err = Accept(t.Context(), s, nil, cfg)
	})
	tr, connectErr := Connect(t.Context(), c, nil, cfg)
	wg.Wait()
	if err = errors.Join(err, connectErr); err != nil {
		t.Fatal(err)
	}
	return tr.(*conn), accepted.(*conn)
}

// windows returns the receive windows of a new stream and of the connection.
func (c *conn) windows() [2]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return [2]int64{c.s.flow.stream, c.s.flow.recv.size}
}

// TestThroughputGrowsWithTheWindows: with a round trip of 50 ms a stream gets
// one window in each, 21 MB/s at the most, until the window grows; then four
// times as much.
func TestThroughputGrowsWithTheWindows(t *testing.T) {
	const trip, size, total = 50 * time.Millisecond, 256 << 10, 64 << 20
	for _, tc := range []struct {
		name        string
		cfg         Config
		stream      int64   // its window at the end
		least, most float64 // MB/s of the second half
	}{
		{"windows of the user's do not grow", Config{StreamWindow: 1 << 20, ConnWindow: 4 << 20}, 1 << 20, 10, 21},
		{"windows of their own do", Config{}, 4 << 20, 42, 84},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := longLine(t, trip/2)
				client, server := connectBoth(t, c, s, tc.cfg)
				defer client.Close()
				defer server.Close()
				acceptor := transporttest.NewAcceptor(t, server)
				call := transporttest.NewClientCall(t, client)
				call.Batch().SendHeaders(transporttest.RequestHeaders()).Start()
				reader := acceptor.Accept()
				go func() {
					data := make([]byte, size)
					for range total / size {
						if err := call.Batch().SendMessage(data).Start().WaitSent(); err != nil {
							t.Error(err)
							return
						}
					}
				}()
				var quarters []float64
				begin, windows := time.Now(), server.windows()
				for i := range total / size {
					if _, ok, err := reader.Batch().RecvMessage(0).Start().WaitMessage(); err != nil || !ok {
						t.Fatal(ok, err)
					}
					if (i+1)%(total/size/4) == 0 {
						quarters = append(quarters, total/4/time.Since(begin).Seconds()/1e6)
						begin = time.Now()
					}
					if w := server.windows(); w != windows {
						windows = w
						t.Logf("the windows of a stream and of the connection are %v", w)
					}
				}
				t.Logf("MB/s of each quarter: %.1f", quarters)
				if last := (quarters[2] + quarters[3]) / 2; last < tc.least || last > tc.most {
					t.Errorf("%.1f MB/s in the second half, want %v to %v", last, tc.least, tc.most)
				}
				if windows[0] != tc.stream {
					t.Errorf("the windows are %v, want %d of a stream", windows, tc.stream)
				}
				call.Release()
				reader.Release()
			})
		})
	}
}
