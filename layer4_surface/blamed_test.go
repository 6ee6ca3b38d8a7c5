package surface

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// TestBlamedClientReadsWhy: a client that goes on sending after it has broken a
// rule reads from a server why its connection ends, not that it was reset.
func TestBlamedClientReadsWhy(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer()
	defer s.Close()
	go s.Serve(lis)
	for range 5 {
		nc, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b := frame.AppendSettings([]byte(frame.ClientPreface))
		b = frame.AppendDataHeader(b, 1, true, 0) // on an idle stream
		for range 100_000 {
			b = frame.AppendPing(b, false, [8]byte{})
		}
		_, werr := nc.Write(b)
		if werr == nil {
			werr = nc.(*net.TCPConn).CloseWrite()
		}
		got, err := io.ReadAll(nc)
		if werr != nil || err != nil || !strings.Contains(string(got), "idle stream 1") {
			t.Fatalf("wrote: %v; read %d bytes, %v; want GOAWAY and the end", werr, len(got), err)
		}
		nc.Close()
	}
}
