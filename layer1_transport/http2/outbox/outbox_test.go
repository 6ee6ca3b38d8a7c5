package outbox

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
)

// payload returns a buffer of n bytes that begin with first.
func payload(n int, first byte) *transport.Buffer {
	p := make([]byte, n)
	for i := range p {
		p[i] = first + byte(i)
	}
	return transport.WrapBuffer(p)
}

// small appends a copy of p.
func small(o *Outbox, p []byte) {
	o.Append(func(dst []byte) []byte { return append(dst, p...) })
}

// flat returns the bytes of b without the first skip.
func flat(b *Batch, skip int) []byte {
	var p []byte
	for _, piece := range b.Buffers(skip) {
		p = append(p, piece...)
	}
	return p
}

// TestOrder appends small and large things at random and compares with a
// plain buffer: order, lengths, and what is left behind any number of bytes.
func TestOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var o Outbox
		var total int64
		for range 4 { // the memory of the first batches is used again
			var want []byte
			for range r.IntN(12) {
				buf := payload([]int{0, 1, 9, copyLimit - 1, copyLimit, copyLimit + 1, 3 * copyLimit}[r.IntN(7)], byte(r.IntN(256)))
				want = append(want, buf.Bytes()...)
				if r.IntN(2) == 0 {
					small(&o, buf.Bytes())
				} else {
					o.AppendPayload(buf, buf.Bytes())
				}
				buf.Release()
			}
			total += int64(len(want))
			if o.Len() != len(want) || o.Total() != total {
				t.Fatalf("seed %d: Len %d and Total %d, want %d and %d", seed, o.Len(), o.Total(), len(want), total)
			}
			b := o.Take()
			if b.Len() != len(want) || o.Len() != 0 {
				t.Fatalf("seed %d: Take gave %d bytes and left %d, want %d and 0", seed, b.Len(), o.Len(), len(want))
			}
			if p, ok := b.Plain(); ok && !bytes.Equal(p, want) {
				t.Fatalf("seed %d: Plain differs", seed)
			}
			for range 50 {
				skip := r.IntN(len(want) + 1)
				if !bytes.Equal(flat(&b, skip), want[skip:]) {
					t.Fatalf("seed %d: Buffers(%d) differs", seed, skip)
				}
			}
			o.Recycle(b)
		}
	}
}

// TestSkipEveryByte: a write can stop anywhere.
func TestSkipEveryByte(t *testing.T) {
	var o Outbox
	var want []byte
	for i, n := range []int{9, copyLimit, 9, copyLimit + 3, 0, 5} {
		buf := payload(n, byte(i))
		want = append(want, buf.Bytes()...)
		o.AppendPayload(buf, buf.Bytes())
	}
	b := o.Take()
	for skip := range len(want) + 1 {
		if !bytes.Equal(flat(&b, skip), want[skip:]) {
			t.Fatalf("Buffers(%d) differs", skip)
		}
		for _, p := range b.Buffers(skip) {
			if len(p) == 0 { // writev takes the address of the first byte
				t.Fatalf("Buffers(%d) holds an empty piece", skip)
			}
		}
	}
}

// TestCopyLimit: what is short is copied and its buffer let go at once.
func TestCopyLimit(t *testing.T) {
	var o Outbox
	short, long := payload(copyLimit-1, 1), payload(copyLimit, 2)
	o.AppendPayload(short, short.Bytes())
	short.Release()
	if short.Bytes() != nil {
		t.Error("the outbox has a reference of a buffer that it copied")
	}
	o.AppendPayload(long, long.Bytes())
	long.Release()
	if long.Bytes() == nil {
		t.Error("the outbox has no reference of a buffer that it will write from")
	}
	b := o.Take()
	o.Recycle(b)
	if long.Bytes() != nil {
		t.Error("Recycle left a reference")
	}
}

// TestRecycleKeepsNothingAlive: the memory of a batch must not refer to
// payload that others may use by then.
func TestRecycleKeepsNothingAlive(t *testing.T) {
	var o Outbox
	buf := payload(copyLimit, 1)
	for range 5 {
		o.AppendPayload(buf, buf.Bytes())
	}
	b := o.Take()
	b.Buffers(0)
	b.Buffers(4 * copyLimit) // shorter, over the same memory
	small(&o, []byte("this waits"))
	o.Recycle(b)
	for i, p := range o.spare.iov[:cap(o.spare.iov)] {
		if p != nil {
			t.Errorf("vector %d still refers to payload", i)
		}
	}
	for i, p := range o.spare.large[:cap(o.spare.large)] {
		if p.buf != nil || p.data != nil {
			t.Errorf("piece %d still refers to payload", i)
		}
	}
}

// TestRecycleBoundsMemory: memory is kept while something waits, if it is not
// too much, and none when nothing does.
func TestRecycleBoundsMemory(t *testing.T) {
	for _, tc := range []struct {
		name  string
		used  int
		waits bool
		kept  bool
	}{
		{"a small buffer, and more to write", 4 << 10, true, true},
		{"a large buffer, and more to write", 512 << 10, true, true},
		{"a buffer past the limit", keepLimit + 1, true, false},
		{"nothing to write", 4 << 10, false, false},
	} {
		var o Outbox
		small(&o, make([]byte, tc.used))
		b := o.Take()
		if tc.waits {
			small(&o, []byte("this waits"))
		}
		o.Recycle(b)
		if kept := cap(o.spare.small) > 0; kept != tc.kept {
			t.Errorf("%s: kept is %v", tc.name, kept)
		}
		if !tc.waits && (cap(o.batch.small) > 0 || o.batch.home != nil || o.spare.home != nil) {
			t.Errorf("%s: memory stays with the outbox", tc.name)
		}
		if got := o.Take(); tc.waits && string(got.small) != "this waits" {
			t.Errorf("%s: Recycle left %q of what waits", tc.name, got.small)
		}
	}
}

// TestDiscard: an outbox of a broken connection holds nothing any more, and
// still counts.
func TestDiscard(t *testing.T) {
	var o Outbox
	buf := payload(2*copyLimit, 1)
	o.AppendPayload(buf, buf.Bytes())
	small(&o, []byte("abc"))
	o.Discard()
	if o.Len() != 0 {
		t.Errorf("%d bytes wait", o.Len())
	}
	small(&o, []byte("def"))
	o.AppendPayload(buf, buf.Bytes())
	if want := int64(2*2*copyLimit + 6); o.Len() != 0 || o.Total() != want {
		t.Errorf("Len %d, Total %d, want 0 and %d", o.Len(), o.Total(), want)
	}
	buf.Release()
	if buf.Bytes() != nil {
		t.Error("a reference is left")
	}
}

func ExampleOutbox() {
	var o Outbox
	o.Append(func(dst []byte) []byte { return append(dst, "header,"...) })
	buf := transport.WrapBuffer([]byte("payload"))
	o.AppendPayload(buf, buf.Bytes())
	buf.Release()
	b := o.Take()
	for _, p := range b.Buffers(0) {
		fmt.Printf("%s\n", p)
	}
	o.Recycle(b)
	// Output: header,payload
}

// TestDeferred: what is deferred is not due by itself, and goes with what is.
func TestDeferred(t *testing.T) {
	var o Outbox
	deferred := func(n int) {
		small(&o, make([]byte, n))
		o.Defer(n)
	}
	check := func(when string, due bool) {
		t.Helper()
		if o.Due() != due {
			t.Errorf("%s: Due %v, want %v", when, o.Due(), due)
		}
	}
	check("empty", false)
	deferred(10)
	check("10 bytes deferred", false)
	small(&o, make([]byte, 1))
	check("and one not", true)
	if b := o.Take(); b.Len() != 11 {
		t.Errorf("Take gave %d bytes, want 11", b.Len())
	}
	check("taken", false)
	deferred(MaxDeferred)
	check("as many as may wait", false)
	deferred(1)
	check("one more", true)
	o.Take()
	deferred(10)
	o.Hurry()
	check("hurried", true)
	o.Discard()
	deferred(10)
	check("discarded", false)
}
