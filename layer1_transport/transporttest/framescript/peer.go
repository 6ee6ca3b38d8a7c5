package framescript

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// errBroken is what a step returns that wanted to send when the peer had
// closed, or took nothing for as long as the script's limit.
var errBroken = errors.New("the peer takes nothing any more")

// errGone is what a step returns that waited for a frame when the peer had
// ended the connection.
var errGone = errors.New("the peer ended the connection")

// A monitor is the lock of one run, and what waits on it.
type monitor struct {
	mu      sync.Mutex
	changed sync.Cond
	aborted bool // guarded by mu
}

// await waits until done, at most for d, and reports whether it is.
// Caller holds m.mu, and done is called with it.
func (m *monitor) await(d time.Duration, done func() bool) bool {
	if done() {
		return true
	}
	expired := false
	timer := time.AfterFunc(d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		expired = true
		m.changed.Broadcast()
	})
	defer timer.Stop()
	for !done() {
		if expired || m.aborted {
			return false
		}
		m.changed.Wait()
	}
	return true
}

// A peer is one run of a script.
type peer struct {
	// Set by newPeer, read-only afterwards.
	script *Script
	nc     net.Conn
	in     *input
	out    *output
	m      *monitor

	// Owned by the goroutine that called Run.
	vars       variables
	ignored    []string
	limit      time.Duration
	fixedLimit time.Duration // Options.Limit; the script does not change it
	framer     *http2.Framer // writes into frame
	frame      frameBuffer
	blocks     blockWriter
	forgiven   bool // that the peer takes nothing is no fault
	last       int  // the line of the step that was played last
	running    sync.WaitGroup
}

func newPeer(s *Script, nc net.Conn, o Options) *peer {
	m := new(monitor)
	m.changed.L = &m.mu
	p := &peer{
		script: s, nc: nc, m: m, vars: variables{},
		limit: o.Limit, fixedLimit: o.Limit,
	}
	if p.limit == 0 {
		p.limit = DefaultLimit
	}
	maps.Copy(p.vars, o.Vars)
	p.out = &output{m: m, nc: nc, limit: &p.limit, quit: make(chan struct{})}
	p.in = newInput(m, nc, s.server, p.out, o.Log)
	p.framer = http2.NewFramer(&p.frame, nil)
	p.framer.AllowIllegalWrites = true
	p.blocks.init()
	return p
}

// start begins to read and to write.
func (p *peer) start() {
	p.running.Add(2)
	go p.readLoop()
	go p.writeLoop()
}

func (p *peer) readLoop() {
	defer p.running.Done()
	p.in.read()
}

func (p *peer) writeLoop() {
	defer p.running.Done()
	p.out.write()
}

// stop closes the connection, waits for the goroutines and returns the record.
func (p *peer) stop() *Record {
	p.abort()
	p.running.Wait()
	r := &p.in.record
	r.Sent, r.SentBytes = p.out.frames, p.out.bytes
	return r
}

// abort ends whatever waits, and the connection.
func (p *peer) abort() {
	p.m.mu.Lock()
	if !p.m.aborted {
		p.m.aborted = true
		close(p.out.quit)
	}
	p.in.ours = true
	p.m.changed.Broadcast()
	p.m.mu.Unlock()
	_ = p.nc.Close() // a script may have closed it
}

// play runs steps one after the other.
func (p *peer) play(steps []step) error {
	for i := range steps {
		p.last = steps[i].line
		err := steps[i].do.run(p)
		if err == nil {
			continue
		}
		return p.locate(steps[i].line, err)
	}
	return nil
}

// locate gives err a line, if it has none.
func (p *peer) locate(line int, err error) error {
	var located *Error
	if errors.As(err, &located) {
		return err
	}
	reason := err.Error()
	if errors.Is(err, errBroken) {
		reason += ": " + p.out.why()
	}
	return &Error{Script: p.script.name, Line: line, Reason: reason, cause: err}
}

// ended reports whether the peer has sent GOAWAY, or is gone altogether.
func (p *peer) ended(how string) bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.in.over(how)
}

// forgive notes that the script knows that the peer may be gone.
func (p *peer) forgive() { p.forgiven = true }

// finish sends what the steps have left, unless the script knows that nobody
// takes it, and returns what went wrong that no step has looked at.
func (p *peer) finish() error {
	if p.forgiven && p.ended("close") {
		return p.violated()
	}
	if err := p.out.drain(); err != nil && !p.forgiven {
		return &Error{Script: p.script.name, Line: p.last, Reason: fmt.Sprintf("%v at the end of the script: %s", err, p.out.why())}
	}
	return p.violated()
}

// violated returns what is wrong with the peer's flow control.
func (p *peer) violated() error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.in.violation != "" {
		return &Error{Script: p.script.name, Line: p.last, Reason: p.in.violation}
	}
	return nil
}
