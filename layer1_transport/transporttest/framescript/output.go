package framescript

import (
	"net"
	"time"
)

// maxWaiting is how many bytes wait to be written before a step that sends
// waits too.
const maxWaiting = 128 << 10

// maxAnswers is how many bytes wait to be written before automatic answers are
// dropped: a peer that takes nothing gets no answers.
const maxAnswers = 1 << 20

// An output writes what the steps send, and the automatic answers. Steps do
// not write themselves: reading must go on while the peer takes nothing, and
// the answers of the reader must not wait for a step.
type output struct {
	// Set by newPeer, read-only afterwards.
	m     *monitor
	nc    net.Conn
	limit *time.Duration // owned by the goroutine of Run
	quit  chan struct{}  // closed when the run ends

	// Guarded by m.mu.
	waiting []byte
	spare   []byte
	open    bool   // a header block of the script is not complete
	held    []byte // answers that wait for its end
	busy    bool   // a write is going on
	err     error
	stalled bool // the peer took nothing for the script's limit
	drops   int  // bytes of each write while dripping; 0: all at once
	every   time.Duration
	frames  int64
	bytes   int64
}

// append adds what a step sends. It waits, up to the script's limit, while the
// peer does not take what was sent before.
func (o *output) append(b []byte) error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	return o.appendLocked(b)
}

// appendBlock is append for a frame of a header block. Nothing may come between
// the frames of one, RFC 9113 §4.3, so that answers wait for the last.
func (o *output) appendBlock(b []byte, last bool) error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.open = true
	err := o.appendLocked(b)
	if last {
		o.open = false
		o.put(o.held)
		o.held = nil
	}
	return err
}

// appendLocked is append. Caller holds m.mu.
func (o *output) appendLocked(b []byte) error {
	room := func() bool { return len(o.waiting) < maxWaiting || o.err != nil }
	if !o.m.await(*o.limit, room) {
		o.stalled = true
		return errBroken
	}
	if o.err != nil {
		return errBroken
	}
	o.frames++
	o.put(b)
	return nil
}

// put adds bytes. Caller holds m.mu.
func (o *output) put(b []byte) {
	o.waiting = append(o.waiting, b...)
	o.bytes += int64(len(b))
	if !o.busy {
		o.m.changed.Broadcast()
	}
}

// answer adds an automatic answer. Caller holds m.mu.
func (o *output) answer(b []byte) {
	switch {
	case len(o.waiting)+len(o.held) >= maxAnswers || o.err != nil:
	case o.open:
		o.held = append(o.held, b...)
	default:
		o.put(b)
	}
}

// drain waits until everything is written.
func (o *output) drain() error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	written := func() bool { return len(o.waiting) == 0 && !o.busy || o.err != nil }
	if o.stalled || !o.m.await(*o.limit, written) || o.err != nil {
		o.stalled = o.err == nil
		return errBroken
	}
	return nil
}

// drip makes the next writes small and slow.
func (o *output) drip(n int, every time.Duration) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.drops, o.every = n, every
}

// why says why nothing more can be sent.
func (o *output) why() string {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.err != nil {
		return o.err.Error()
	}
	return "it took nothing for " + o.limit.String()
}

// write writes until the run ends.
func (o *output) write() {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	for !o.m.aborted {
		if len(o.waiting) == 0 {
			o.m.changed.Wait()
			continue
		}
		b, drops, every := o.waiting, o.drops, o.every
		o.waiting, o.spare, o.busy = o.spare[:0], nil, true
		o.m.changed.Broadcast()
		o.m.mu.Unlock()
		var err error
		if drops == 0 {
			_, err = o.nc.Write(b)
		} else {
			err = o.writeDrops(b, drops, every)
		}
		o.m.mu.Lock()
		o.spare, o.busy = b, false
		if err != nil && o.err == nil {
			o.err = err
		}
		if o.err != nil {
			o.waiting = nil
		}
		o.m.changed.Broadcast()
	}
}

// writeDrops writes n bytes at a time, with a pause between.
func (o *output) writeDrops(b []byte, n int, every time.Duration) error {
	for {
		k, err := o.nc.Write(b[:min(n, len(b))])
		if b = b[k:]; err != nil || len(b) == 0 {
			return err
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-o.quit:
			timer.Stop()
			return net.ErrClosed
		}
	}
}
