package callstack_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// counter counts how often a block came back.
type counter struct{ atomic.Int32 }

func (c *counter) Recycle() { c.Add(1) }

func TestBlockGenerations(t *testing.T) {
	var b callstack.Block
	var back counter
	b.Bind(&back)
	for use := range uint32(3) {
		g := b.Start()
		if g != use || b.Generation() != use {
			t.Fatalf("use %d has generation %d, and Generation says %d", use, g, b.Generation())
		}
		b.Ref()
		if !b.Acquire(g) {
			t.Fatal("Acquire of the present use failed")
		}
		if b.Acquire(g + 1) {
			t.Fatal("Acquire of the next use succeeded")
		}
		for range 3 {
			if back.Load() != int32(use) {
				t.Fatal("the block was recycled with references left")
			}
			b.Unref()
		}
		if back.Load() != int32(use)+1 {
			t.Fatalf("the block was recycled %d times, want %d", back.Load(), use+1)
		}
		if b.Acquire(g) {
			t.Fatal("Acquire of a use that is over succeeded")
		}
		if b.Acquire(g + 1) {
			t.Fatal("Acquire of a use that has not begun succeeded")
		}
	}
}

func TestBlockMisuse(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		misuse     func(b *callstack.Block)
	}{
		{"released too often", "released more often", func(b *callstack.Block) { b.Unref(); b.Unref() }},
		{"referred to after its release", "nobody refers to", func(b *callstack.Block) { b.Unref(); b.Ref() }},
		{"taken while in use", "with 1 references was taken", func(b *callstack.Block) { b.Start() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b callstack.Block
			b.Bind(&counter{})
			b.Start()
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, tc.want) {
					t.Errorf("panicked with %q, want %q", p, tc.want)
				}
			}()
			tc.misuse(&b)
		})
	}
}

// pool hands out a block again as soon as it comes back, as a busy channel does.
type pool struct {
	block callstack.Block
	plain int // of the present use; the race detector watches it
	free  chan struct{}
}

func (p *pool) Recycle() {
	p.plain = 0
	p.free <- struct{}{}
}

// TestBlockRaces has holders of handles, present and old, at one block that is
// used again and again. A use must never see the next one's memory.
func TestBlockRaces(t *testing.T) {
	p := &pool{free: make(chan struct{}, 1)}
	p.block.Bind(p)
	var current atomic.Uint32
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				g := current.Load()
				if !p.block.Acquire(g) {
					continue
				}
				if got := p.block.Generation(); got != g {
					t.Errorf("acquired generation %d and got %d", g, got)
				}
				if p.plain != int(g)+1 {
					t.Errorf("generation %d has the memory of another: %d", g, p.plain)
				}
				p.block.Unref()
			}
		})
	}
	for use := range 2000 {
		p.plain = use + 1
		current.Store(p.block.Start())
		p.block.Unref()
		<-p.free
	}
	stop.Store(true)
	wg.Wait()
}

func BenchmarkBlock(b *testing.B) {
	var block callstack.Block
	block.Bind(&counter{})
	b.ReportAllocs()
	for b.Loop() {
		g := block.Start()
		block.Acquire(g)
		block.Unref()
		block.Unref()
	}
}
