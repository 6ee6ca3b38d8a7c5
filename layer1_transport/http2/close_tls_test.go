package http2_test

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
	"github.com/strata-grpc/strata/layer1_transport/http2"
	"github.com/strata-grpc/strata/layer1_transport/transporttest"
	"github.com/strata-grpc/strata/layer1_transport/transporttest/memconn"
)

// TestCloseUnderTLS: the end of a connection does not wait for a peer that takes
// nothing, although TLS has something to say to it, and waits 5 s to do so.
func TestCloseUnderTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ofServer, ofClient := certificate(t)
		a, b := memconn.PipeSize(4096)
		theirs := tls.Server(b, ofServer)
		go func() {
			b := frame.AppendSettings(nil, frame.Setting{ID: frame.SettingInitialWindowSize, Val: 1 << 30})
			theirs.Write(frame.AppendWindowUpdate(b, 0, 1<<30)) // and it reads nothing
		}()
		tr, err := http2.Connect(t.Context(), tls.Client(a, ofClient), nil, http2.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := transporttest.NewClientCall(t, tr)
		call := c.Batch().SendHeaders(transporttest.RequestHeaders()).SendMessage(make([]byte, 1<<20)).RecvTrailers().Start()
		call.WaitTrailers() // when the write stalls
		start := time.Now()
		tr.Close()
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("Close took %v", took)
		}
		c.WaitGone()
		b.Close()
	})
}
