package http2

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// resets are the ways to make a server reset a stream: the six primitives of
// MadeYouReset (CVE-2025-8671), and others. Each function returns what it
// takes for one stream.
var resets = []struct {
	name   string
	frames func(id uint32) []byte
}{
	{"WINDOW_UPDATE of 0", func(id uint32) []byte {
		return rawWindowUpdate(request(nil, id, frame.FlagEndStream), id, 0)
	}},
	{"WINDOW_UPDATE that overflows", func(id uint32) []byte {
		return frame.AppendWindowUpdate(request(nil, id, frame.FlagEndStream), id, frame.MaxWindow)
	}},
	{"PRIORITY of 4 bytes", func(id uint32) []byte {
		b := request(nil, id, frame.FlagEndStream)
		return append(frame.AppendHeader(b, 4, frame.TypePriority, 0, id), 0, 0, 0, 0)
	}},
	{"PRIORITY that depends on itself", func(id uint32) []byte {
		b := request(nil, id, frame.FlagEndStream)
		return append(frame.AppendHeader(b, 5, frame.TypePriority, 0, id), byte(id>>24), byte(id>>16), byte(id>>8), byte(id), 16)
	}},
	{"HEADERS after END_STREAM", func(id uint32) []byte {
		return request(request(nil, id, frame.FlagEndStream), id, frame.FlagEndStream)
	}},
	{"DATA after END_STREAM", func(id uint32) []byte {
		return data(request(nil, id, frame.FlagEndStream), id, 0, "x")
	}},
	{"a field that HTTP/2 forbids", func(id uint32) []byte {
		return fields(nil, id, frame.FlagEndStream, ":method", "POST", ":scheme", "http", ":path", "/a/b", "connection", "x")
	}},
	{"a content-length that is not true", func(id uint32) []byte {
		return fields(nil, id, frame.FlagEndStream, ":method", "POST", ":scheme", "http", ":path", "/a/b", "content-length", "3")
	}},
	{"a second header block", func(id uint32) []byte {
		return request(request(nil, id, 0), id, 0)
	}},
}

// rawWindowUpdate appends a WINDOW_UPDATE that may be wrong.
func rawWindowUpdate(b []byte, id, increment uint32) []byte {
	b = frame.AppendHeader(b, 4, frame.TypeWindowUpdate, 0, id)
	return append(b, byte(increment>>24), byte(increment>>16), byte(increment>>8), byte(increment))
}

// TestStreamFaultsAreCounted: attacks A3 and A5. A thousand streams at once may
// break a rule, and then the connection ends. A handler that ignores the end of
// its stream keeps its place.
func TestStreamFaultsAreCounted(t *testing.T) {
	for _, tc := range resets {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttacker(t, server, Config{MaxStreams: 10})
			n, err := a.repeat(5000, 1, tc.frames)
			if n != defaultFaultBurst {
				t.Errorf("%d streams were reset before the connection ended, want %d", n, defaultFaultBurst)
			}
			wantCode(t, err, frame.CodeEnhanceYourCalm)
			if err == nil || !strings.Contains(err.Error(), streamFaults) {
				t.Errorf("error %v, want one that says %q", err, streamFaults)
			}
			if a.running != 0 || len(a.s.streams) != 0 || a.s.slots.used != a.s.slots.early.Len() {
				t.Errorf("%d handlers, %d streams, %d slots are left", a.running, len(a.s.streams), a.s.slots.used)
			}

			a = newAttacker(t, server, Config{MaxStreams: 10})
			a.deaf = true
			if _, err := a.repeat(5000, 1, tc.frames); err != nil && a.accepted > 0 {
				// Only the ten that were let in could be reset.
				wantCode(t, err, frame.CodeEnhanceYourCalm)
			}
			if a.most > 10 {
				t.Errorf("%d handlers ran at once, the limit is 10", a.most)
			}
		})
	}
}

// opened are the headers of a call with a deadline, or with none.
func opened(id uint32, timeout string) []byte {
	pairs := []string{":method", "POST", ":scheme", "http", ":path", "/a/b"}
	if timeout != "" {
		pairs = append(pairs, "grpc-timeout", timeout)
	}
	return fields(nil, id, 0, pairs...)
}

func TestRapidResets(t *testing.T) {
	for _, tc := range []struct {
		name    string
		timeout string
		age     time.Duration
		rapid   bool
	}{
		{"reset at once", "", 0, true},
		{"reset just within a second", "", time.Second - 1, true},
		{"a second old", "", time.Second, false},
		{"long before its deadline", "10S", 100 * time.Millisecond, true},
		{"a second old and long before its deadline", "10S", time.Second, false},
		{"before half of a short deadline", "100m", 49 * time.Millisecond, true},
		{"at half of a short deadline", "100m", 50 * time.Millisecond, false},
		{"at its deadline", "10m", 10 * time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttacker(t, server, Config{RapidResets: 1, MaxStreams: 1})
			a.s.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			if err := a.send(opened(1, tc.timeout)); err != nil {
				t.Fatal(err)
			}
			a.s.now = a.s.now.Add(tc.age)
			a.s.control.resets.Spend(a.s.now) // so that the next is one too many
			if err := a.send(frame.AppendRSTStream(nil, 1, frame.CodeCancel)); err != nil {
				t.Fatal(err)
			}
			if a.s.paused() != tc.rapid {
				t.Errorf("reading pauses: %v, want %v", !tc.rapid, tc.rapid)
			}
		})
	}
}

// TestRapidResetsAreSlowedDown: beyond MaxStreams at once, a client that resets
// what it opens gets about a thousand of them done in a second, and stays connected.
func TestRapidResetsAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const atOnce, more = 2000, 3000
		c, theirs := accepted(t, 64<<10, &busy{atOnce: true}, Config{MaxStreams: atOnce})
		go io.Copy(io.Discard, theirs)
		bytes := frame.AppendSettings(nil)
		for id := uint32(1); id < 2*(atOnce+more); id += 2 {
			bytes = append(bytes, openAndReset(id)...)
		}
		start := time.Now()
		if _, err := theirs.Write(frame.AppendPing(bytes, false, [8]byte{})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for { // until the last frame was applied
			c.mu.Lock()
			seen, closed := c.s.ids.lastPeer, c.s.control.closed
			c.mu.Unlock()
			if closed != nil {
				t.Fatalf("the connection ended: %v", closed)
			}
			if seen == 2*(atOnce+more)-1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		// In each pause ten become possible, and the one that ends it is done too.
		const want = more / 11 * resetPause
		if took := time.Since(start); took < want-2*resetPause || took > want+2*resetPause {
			t.Errorf("%d resets took %v, want about %v", atOnce+more, took, want)
		}
		theirs.Close()
		c.Close()
	})
}

// openAndReset is what rapid reset consists of (CVE-2023-44487).
func openAndReset(id uint32) []byte {
	return frame.AppendRSTStream(request(nil, id, 0), id, frame.CodeCancel)
}

// TestCancelStorm: a proxy that cancels all calls of its clients at once, as
// many as it may have open, is no attacker.
func TestCancelStorm(t *testing.T) {
	const calls = 5000
	a := newAttacker(t, server, Config{MaxStreams: calls})
	if _, err := a.repeat(calls, 1, func(id uint32) []byte { return request(nil, id, 0) }); err != nil {
		t.Fatal(err)
	}
	n, err := a.repeat(calls, 1, func(id uint32) []byte { return frame.AppendRSTStream(nil, id, frame.CodeCancel) })
	if err != nil || a.s.paused() {
		t.Errorf("after %d of %d calls were cancelled: %v, paused %v", n, calls, err, a.s.paused())
	}
}

// TestHedging: where each call that is cancelled goes with one that ends well,
// the connection may go on for ever.
func TestHedging(t *testing.T) {
	a := newAttacker(t, server, Config{})
	for id := uint32(1); id < 40000; id += 4 {
		if err := a.send(openAndReset(id)); err != nil || a.s.paused() {
			t.Fatalf("stream %d: %v, paused %v", id, err, a.s.paused())
		}
		if err := a.send(request(nil, id+2, frame.FlagEndStream)); err != nil {
			t.Fatalf("stream %d: %v", id+2, err)
		}
		a.finish()
	}
}

// TestFaultsComeBack: a hundred faults a second may go on for ever, and more
// than that end.
func TestFaultsComeBack(t *testing.T) {
	for _, tc := range []struct {
		perSecond int
		seconds   int // until the connection ends; 0 for never
	}{{100, 0}, {200, 10}, {1000, 1}} {
		t.Run(fmt.Sprint(tc.perSecond), func(t *testing.T) {
			a := newAttacker(t, server, Config{})
			a.s.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			start, id := a.s.now, uint32(1)
			var err error
			for ; err == nil && id < 40000; id += 2 {
				a.s.now = a.s.now.Add(time.Second / time.Duration(tc.perSecond))
				err = a.send(resets[0].frames(id))
			}
			took := int(a.s.now.Sub(start) / time.Second)
			if tc.seconds == 0 && err != nil || tc.seconds != 0 && (err == nil || took < tc.seconds || took > tc.seconds+1) {
				t.Errorf("%d faults a second: %v after %d s, want an end after %d s (0 for none)", tc.perSecond, err, took, tc.seconds)
			}
		})
	}
}

// TestSettingsAreCounted: each SETTINGS frame may touch every stream.
func TestSettingsAreCounted(t *testing.T) {
	a := newAttacker(t, server, Config{MaxStreams: 100})
	n, err := a.repeat(5000, 0, func(uint32) []byte { return frame.AppendSettings(nil) })
	if n != defaultFaultBurst {
		t.Errorf("%d SETTINGS frames were taken at once, want %d", n, defaultFaultBurst)
	}
	wantCode(t, err, frame.CodeEnhanceYourCalm)
}

// TestNoFault: what a client may do as often as it likes.
func TestNoFault(t *testing.T) {
	const often = 3 * defaultFaultBurst
	begin := func(t *testing.T) *attacker { // with stream 1 open, and 3 reset by both
		a := newAttacker(t, server, Config{MaxStreams: 2})
		a.deaf = true
		if err := a.send(openAndReset(3)); err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tc := range []struct {
		name   string
		frames func(id uint32) []byte
	}{
		{"calls beyond MAX_CONCURRENT_STREAMS", func(id uint32) []byte { return request(nil, id, 0) }},
		{"calls beyond it that are reset", openAndReset},
		{"WINDOW_UPDATE on a closed stream", func(uint32) []byte { return frame.AppendWindowUpdate(nil, 3, 1) }},
		{"RST_STREAM on a closed stream", func(uint32) []byte { return frame.AppendRSTStream(nil, 3, frame.CodeNoError) }},
		{"answers to PING", func(uint32) []byte { return frame.AppendPing(nil, true, [8]byte{}) }},
		{"PRIORITY", func(id uint32) []byte {
			return append(frame.AppendHeader(nil, 5, frame.TypePriority, 0, id), 0, 0, 0, 0, 16)
		}},
		{"unknown frames", func(id uint32) []byte { return append(frame.AppendHeader(nil, 1, 0x99, 0xff, id), 'x') }},
		{"a header list that is too long", func(id uint32) []byte {
			b := fields(nil, id, frame.FlagEndStream, ":method", "POST", ":scheme", "http", ":path", "/a/b")
			return addIndexed(b, 200, 0x90) // accept-encoding: gzip, deflate
		}},
		{"a field that only gRPC finds fault with", func(id uint32) []byte {
			return fields(nil, id, frame.FlagEndStream, ":method", "POST", ":scheme", "http", ":path", "/a/b", "x-bin", "!")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := begin(t)
			if n, err := a.repeat(often, 5, tc.frames); err != nil {
				t.Errorf("after %d of %d: %v", n, often, err)
			}
		})
	}
	t.Run("DATA on a stream that was refused", func(t *testing.T) {
		a := newAttacker(t, server, Config{MaxStreams: 1})
		a.deaf = true
		if _, err := a.repeat(recentResets, 1, func(id uint32) []byte { return request(nil, id, 0) }); err != nil {
			t.Fatal(err)
		}
		for range 3 { // of all streams but the one that is open
			if n, err := a.repeat(recentResets-1, 3, func(id uint32) []byte { return data(nil, id, 0, "x") }); err != nil {
				t.Fatalf("after DATA on %d streams: %v", n, err)
			}
		}
	})
}

// addIndexed adds n references to an entry of the table to the HEADERS frame b.
func addIndexed(b []byte, n int, entry byte) []byte {
	h := frame.ParseHeader(b)
	frame.PutHeader(b, int(h.Length)+n, h.Type, h.Flags, h.StreamID)
	for range n {
		b = append(b, entry)
	}
	return b
}

// TestClientCountsFaultsOfTheServer: a server that breaks rules on stream after
// stream loses its client; one that resets them does not.
func TestClientCountsFaultsOfTheServer(t *testing.T) {
	run := func(frames func(id uint32) []byte) (int, error) {
		a := newAttacker(t, client, Config{FaultBurst: 20})
		for i := range 5000 {
			h := &attacked{a: a, st: a.c.NewStream().(*stream)}
			h.st.Init(h, nil)
			a.running++
			a.s.perform(h.st, sendHeaders(h))
			a.settle()
			if err := a.send(frames(h.st.id)); err != nil {
				return i, err
			}
		}
		return 5000, nil
	}
	if n, err := run(func(id uint32) []byte { return frame.AppendRSTStream(nil, id, frame.CodeRefusedStream) }); err != nil {
		t.Errorf("after %d calls that the server refused: %v", n, err)
	}
	n, err := run(func(id uint32) []byte { return data(nil, id, 0, "before HEADERS") })
	if n != 20 {
		t.Errorf("the client bore %d faults, want 20", n)
	}
	wantCode(t, err, frame.CodeEnhanceYourCalm)
}

// TestBlocksForNothingAreCounted: HEADERS on a stream that was reset may have
// been on their way, but a thousand of them were not.
func TestBlocksForNothingAreCounted(t *testing.T) {
	a := newAttacker(t, server, Config{MaxStreams: 1})
	a.deaf = true
	n, err := a.repeat(5000, 1, func(id uint32) []byte {
		if id == 1 {
			return request(nil, 1, 0)
		}
		return request(request(nil, id, 0), id, frame.FlagEndStream) // the first is refused
	})
	if n != 1+defaultFaultBurst {
		t.Errorf("%d streams were taken, want %d", n, 1+defaultFaultBurst)
	}
	wantCode(t, err, frame.CodeEnhanceYourCalm)
}
