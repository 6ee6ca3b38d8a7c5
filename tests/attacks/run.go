package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

// warmUp is how long the well-behaved client calls before the attack, which is
// also what its times are compared with.
const warmUp = 400 * time.Millisecond

// recovery is how long a victim has to be as it was before, once the attackers
// are gone.
const recovery = 2 * time.Second

// slack is how many goroutines more than before a victim may keep: Strata's
// server has up to 256 workers that wait for calls, and ends them bit by bit.
const slack = 256 + 20

// A row is one attack on one implementation.
type row struct {
	Attack, Name, File, Impl string
	Frames, Bytes            int64 // sent by the script
	Conns                    int
	Reaction                 string
	HeapGrowth               int64         // of live heap and stacks, at its peak
	CPU                      time.Duration // of the victim
	Handlers                 int64         // at once
	HandlerCalls             int64
	Quiet, Loaded            probe          // the well-behaved client before and during
	Ends                     map[string]int `json:",omitempty"` // of the calls of a client under attack
	LeftGoroutines           int
	Elapsed                  time.Duration
	Script                   string   `json:",omitempty"` // what a script found wrong
	Broken                   []string `json:",omitempty"` // bounds
}

// playOn plays an attack against a new process.
func playOn(ctx context.Context, a attack, impl string) (row, error) {
	v, err := startVictim(ctx, impl)
	if err != nil {
		return row{}, err
	}
	play := playServer
	if a.script.IsServer() {
		play = playClient
	}
	r, err := play(ctx, v, a)
	r.Impl = impl
	if closeErr := v.Close(); closeErr != nil && err == nil {
		err = closeErr
	}
	if err != nil && ctx.Err() == nil {
		// A victim that is gone, or does not serve any more, is a finding.
		r.Attack, r.Name, r.File = a.id, a.name, a.file
		r.Reaction, r.Broken = "died", append(r.Broken, err.Error())
		err = nil
	}
	return r, err
}

// playServer attacks a server, beside a client that behaves.
func playServer(ctx context.Context, v *victim, a attack) (row, error) {
	served, err := v.Ask(command{Op: opServe, Idle: a.idle})
	if err != nil {
		return row{}, err
	}
	p, err := startProber(served.Addr)
	if err != nil {
		return row{}, err
	}
	defer p.close()
	if _, err := v.Ask(command{Op: opWatch}); err != nil {
		return row{}, err
	}
	time.Sleep(warmUp)
	if _, err := v.Ask(command{Op: opUnwatch}); err != nil {
		return row{}, err
	}
	return attackServer(ctx, v, a, served.Addr, p)
}

// attackServer is playServer for a server that runs already.
func attackServer(ctx context.Context, v *victim, a attack, addr string, p *prober) (row, error) {
	r := row{Attack: a.id, Name: a.name, File: a.file, Conns: a.conns, Quiet: p.take()}
	before, err := v.Ask(command{Op: opUsage})
	if err != nil {
		return r, err
	}
	if _, err := v.Ask(command{Op: opWatch}); err != nil {
		return r, err
	}
	begin := time.Now()
	records, script := playAll(ctx, a, addr)
	r.Elapsed = time.Since(begin)
	if _, err := v.Ask(command{Op: opUnwatch}); err != nil {
		return r, err
	}
	after, err := v.Ask(command{Op: opUsage})
	if err != nil {
		return r, err
	}
	r.Loaded = p.take()
	r.note(records, script, before.Usage, after.Usage)
	if r.LeftGoroutines, err = left(v, before.Usage.Goroutines); err != nil {
		return r, err
	}
	r.judge(a, records, after.Usage)
	return r, nil
}

// note fills in what was measured.
func (r *row) note(records []*framescript.Record, script error, before, after usage) {
	for _, rec := range records {
		r.Frames += rec.Sent
		r.Bytes += rec.SentBytes
	}
	if script != nil {
		r.Script = script.Error()
	}
	r.Reaction = reactionOf(records)
	r.HeapGrowth = max(0, after.Peak-before.Peak)
	r.CPU = after.CPU - before.CPU
	r.Handlers, r.HandlerCalls = after.Running, after.Calls
}

// left waits until the victim has about the goroutines that it had before, and
// returns how many more it keeps.
func left(v *victim, before int) (int, error) {
	for end := time.Now().Add(recovery); ; {
		u, err := v.Ask(command{Op: opUsage})
		if err != nil {
			return 0, err
		}
		n := u.Usage.Goroutines - before
		if n <= slack || time.Now().After(end) {
			return max(0, n), nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// playAll plays the script on all its connections at once.
func playAll(ctx context.Context, a attack, addr string) ([]*framescript.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, a.lasts)
	defer cancel()
	records := make([]*framescript.Record, a.conns)
	errs := make([]error, a.conns)
	var running sync.WaitGroup
	for i := range a.conns {
		running.Add(1)
		play := func() {
			defer running.Done()
			vars := map[string]string{"conn": strconv.Itoa(i + 1), "frames": strconv.Itoa(a.frames)}
			records[i], errs[i] = a.script.Dial(ctx, "tcp", addr, framescript.Options{Vars: vars})
		}
		go play()
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return records, err // they tend to be alike
		}
	}
	return records, nil
}

// playClient lets a client call a server that attacks it.
func playClient(ctx context.Context, v *victim, a attack) (row, error) {
	r := row{Attack: a.id, Name: a.name, File: a.file}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	vars := map[string]string{"frames": strconv.Itoa(a.frames)}
	srv := framescript.Serve(lis, a.script, framescript.Options{Vars: vars})
	defer srv.Close()
	before, err := v.Ask(command{Op: opUsage})
	if err != nil {
		return r, err
	}
	if _, err := v.Ask(command{Op: opWatch}); err != nil {
		return r, err
	}
	begin := time.Now()
	called, err := v.Ask(command{Op: opCall, Target: lis.Addr().String(), Load: a.load})
	if err != nil {
		return r, err
	}
	r.Elapsed = time.Since(begin)
	if _, err := v.Ask(command{Op: opUnwatch}); err != nil {
		return r, err
	}
	after, err := v.Ask(command{Op: opUsage})
	if err != nil {
		return r, err
	}
	if r.LeftGoroutines, err = left(v, before.Usage.Goroutines); err != nil {
		return r, err
	}
	script := srv.Close()
	var records []*framescript.Record
	for _, run := range srv.Runs() {
		records = append(records, run.Record)
	}
	r.Conns, r.Ends = len(records), called.Ends
	r.note(records, script, before.Usage, after.Usage)
	r.Reaction = fmt.Sprint(countsText(called.Ends), " ", plural(len(records), "connection"))
	r.judge(a, records, after.Usage)
	return r, nil
}
