package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// How many of each there are while memory is measured.
const (
	idleConns       = 2000
	streamsPerConn  = 100 // which is what servers allow at least. RFC 9113 §6.5.2
	streamConns     = 50
	drippingConns   = 8
	warmConns       = 50
	burstCalls      = 100
	drippedBytes    = 65535 // the smallest window, RFC 9113 §6.5.2
	fastFleetFactor = 10    // with -quick there are fewer by this
)

// A memory is what a process holds.
type memory struct {
	Heap       int64 `json:"heap_bytes"`
	Stack      int64 `json:"stack_bytes"`
	Goroutines int64 `json:"goroutines"`
}

// currentMemory collects garbage first: twice, since pools give up what they
// hold in two steps.
func currentMemory() memory {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{Heap: int64(m.HeapAlloc), Stack: int64(m.StackInuse), Goroutines: int64(runtime.NumGoroutine())}
}

// A memoryRow is what one thing costs a server.
type memoryRow struct {
	What       string  `json:"what"`
	Server     string  `json:"server"`
	Heap       float64 `json:"heap_bytes"`
	Stack      float64 `json:"stack_bytes"`
	Goroutines float64 `json:"goroutines"`
	Ratio      float64 `json:"ratio"` // of heap and stack, to grpc-go
}

// A hoard is something that a server has to hold, in numbers.
type hoard struct {
	what  string
	conns int
	each  int // things on one connection
	fill  func(*rawClient) error
	alone bool // what the connection costs belongs to it
}

// hoards are the rows of the memory table.
func hoards(quick bool) []hoard {
	factor := 1
	if quick {
		factor = fastFleetFactor
	}
	return []hoard{
		{"idle connection", idleConns / factor, 1, func(*rawClient) error { return nil }, true},
		{fmt.Sprintf("idle connection that had %d calls at once", burstCalls), idleConns / factor, 1, func(c *rawClient) error { return c.burst(burstCalls, smallPayload) }, true},
		{"idle stream, its handler waiting", streamConns, streamsPerConn, func(c *rawClient) error {
			return c.open("FullDuplexCall", streamsPerConn, nil)
		}, false},
		{fmt.Sprintf("%d frames of one byte that nobody reads", drippedBytes), drippingConns, 1, func(c *rawClient) error {
			return errors.Join(c.open("StreamingInputCall", 1, nil), c.drip(make([]byte, drippedBytes)))
		}, false},
	}
}

// measureMemory lets a new server of each implementation hold each hoard.
func measureMemory(ctx context.Context, cfg config) ([]memoryRow, error) {
	const limit = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var rows []memoryRow
	for _, h := range hoards(cfg.quick) {
		base := len(rows)
		for _, impl := range []string{grpcGoName, strataName} {
			row, err := h.measure(ctx, cfg, impl, limit)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", h.what, impl, err)
			}
			rows = append(rows, row)
			last := &rows[len(rows)-1]
			last.Ratio = (last.Heap + last.Stack) / (rows[base].Heap + rows[base].Stack)
		}
	}
	return rows, nil
}

// measure is one row. What connections cost is subtracted where there is more
// than that on each.
func (h *hoard) measure(ctx context.Context, cfg config, impl string, limit time.Duration) (_ memoryRow, err error) {
	server, err := startProcess(ctx, cfg, "server", impl, limit)
	if err != nil {
		return memoryRow{}, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	addrs, err := server.Ask(command{Op: opAddr})
	if err != nil {
		return memoryRow{}, err
	}
	var clients []*rawClient
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	dial := func(n int) error {
		for range n {
			c, err := dialRaw(addrs.Addr)
			if err != nil {
				return err
			}
			clients = append(clients, c)
		}
		return nil
	}
	fill := func() error {
		for _, c := range clients {
			if err := errors.Join(h.fill(c), c.settle()); err != nil {
				return err
			}
		}
		return nil
	}
	// What a server makes once and keeps, it has after this.
	if err := errors.Join(dial(max(warmConns/h.each, 1)), fill()); err != nil {
		return memoryRow{}, err
	}
	for _, c := range clients {
		c.close()
	}
	clients = nil
	before, err := server.settledMemory()
	if err != nil {
		return memoryRow{}, err
	}
	if err := dial(h.conns); err != nil {
		return memoryRow{}, err
	}
	if !h.alone {
		if before, err = server.settledMemory(); err != nil {
			return memoryRow{}, err
		}
	}
	if err := fill(); err != nil {
		return memoryRow{}, err
	}
	after, err := server.settledMemory()
	if err != nil {
		return memoryRow{}, err
	}
	n := float64(h.conns * h.each)
	return memoryRow{
		What: h.what, Server: impl,
		Heap:       float64(after.Heap-before.Heap) / n,
		Stack:      float64(after.Stack-before.Stack) / n,
		Goroutines: float64(after.Goroutines-before.Goroutines) / n,
	}, nil
}

// settledMemory waits until the number of goroutines stays the same: handlers
// have begun to wait, connections that were closed are gone.
func (p *process) settledMemory() (memory, error) {
	const turns, turn = 50, 100 * time.Millisecond
	var last memory
	for range turns {
		r, err := p.Ask(command{Op: opMemory})
		if err != nil {
			return memory{}, err
		}
		if r.Memory.Goroutines == last.Goroutines {
			return r.Memory, nil
		}
		last = r.Memory
		time.Sleep(turn)
	}
	return memory{}, fmt.Errorf("%s: the number of goroutines goes on changing", p.name)
}
