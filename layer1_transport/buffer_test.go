package transport

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestBufferClasses(t *testing.T) {
	for _, tc := range []struct{ size, cap, class int }{
		{-1, 256, 0}, {0, 256, 0}, {1, 256, 0}, {256, 256, 0},
		{257, 512, 1}, {512, 512, 1}, {513, 1024, 2},
		{4<<20 - 1, 4 << 20, 14}, {4 << 20, 4 << 20, 14},
		{4<<20 + 1, 4<<20 + 1, -1}, {9 << 20, 9 << 20, -1},
	} {
		b := NewBuffer(tc.size)
		if b.Len() != 0 || b.Cap() != tc.cap || int(b.class) != tc.class {
			t.Errorf("NewBuffer(%d): len %d, cap %d, class %d; want 0, %d, %d", tc.size, b.Len(), b.Cap(), b.class, tc.cap, tc.class)
		}
		b.Release()
	}
}

// TestBufferFromPoolIsEmpty: nothing of an earlier message is seen.
func TestBufferFromPoolIsEmpty(t *testing.T) {
	for range 100 {
		b := NewBuffer(300)
		if b.Len() != 0 || b.Compressed || b.Cap() != 512 || b.refs.Load() != 1 {
			t.Fatalf("a buffer with %d bytes, compressed %v, cap %d, %d references", b.Len(), b.Compressed, b.Cap(), b.refs.Load())
		}
		b.Append([]byte("secret"))
		b.Compressed = true
		b.Release()
	}
}

// TestSetBytes: memory that is not the pool's never gets there.
func TestSetBytes(t *testing.T) {
	foreign := make([]byte, 0, 512) // as large as the class
	for _, tc := range []struct {
		name   string
		data   func(b *Buffer) []byte
		pooled bool
	}{
		{"what was appended within the capacity", func(b *Buffer) []byte { return append(b.Bytes()[:0], "abc"...) }, true},
		{"nothing", func(b *Buffer) []byte { return b.Bytes()[:0] }, true},
		{"what grew", func(b *Buffer) []byte { return append(b.Bytes(), make([]byte, 513)...) }, false},
		{"foreign memory of the same capacity", func(*Buffer) []byte { return append(foreign, "abc"...) }, false},
		{"the end of its own memory", func(b *Buffer) []byte { return b.Bytes()[:10][5:] }, false},
		{"its own memory with less capacity", func(b *Buffer) []byte { return b.Bytes()[:5:5] }, false},
		{"nil", func(*Buffer) []byte { return nil }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := NewBuffer(512)
			data := tc.data(b)
			want := string(data)
			b.SetBytes(data)
			if pooled := b.class >= 0; pooled != tc.pooled || string(b.Bytes()) != want {
				t.Errorf("pooled is %v, want %v; content %q", pooled, tc.pooled, b.Bytes())
			}
			b.Release()
			if !tc.pooled && b.data != nil {
				t.Error("a buffer outside the pool keeps its memory")
			}
		})
	}
}

func TestAppendGrows(t *testing.T) {
	b := NewBuffer(1)
	var want []byte
	for i := range 2000 {
		b.Append([]byte{byte(i)})
		want = append(want, byte(i))
	}
	if !bytes.Equal(b.Bytes(), want) || b.Len() != 2000 || b.class != -1 {
		t.Errorf("%d bytes, class %d", b.Len(), b.class)
	}
	b.Release()
}

func TestWrapBuffer(t *testing.T) {
	data := []byte("abc")
	b := WrapBuffer(data)
	b.Ref()
	b.Release()
	if string(b.Bytes()) != "abc" || b.class != -1 {
		t.Errorf("got %q", b.Bytes())
	}
	b.Release()
	if string(data) != "abc" {
		t.Error("Release changed the data")
	}
	if empty := WrapBuffer(nil); empty.Len() != 0 {
		t.Errorf("%d bytes of nil", empty.Len())
	}
	(*Buffer)(nil).Release()
}

func TestReferenceMistakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		make func() *Buffer
		do   func(b *Buffer)
	}{
		{"Release of a wrapped buffer twice", "1 times too often", func() *Buffer { return WrapBuffer([]byte("abc")) }, func(b *Buffer) { b.Release() }},
		{"Release of a large buffer twice", "1 times too often", func() *Buffer { return NewBuffer(5 << 20) }, func(b *Buffer) { b.Release() }},
		{"Ref after the last Release", "was released", func() *Buffer { return WrapBuffer([]byte("abc")) }, func(b *Buffer) { b.Ref() }},
	} {
		b := tc.make()
		b.Release()
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, tc.text) {
					t.Errorf("%s: panic %q, want one with %q", tc.name, text, tc.text)
				}
			}()
			tc.do(b)
		}()
	}
}

// TestReferencesAtOnce: the last of many to release recycles, whoever it is.
func TestReferencesAtOnce(t *testing.T) {
	for range 50 {
		b := NewBuffer(1000)
		b.Append([]byte("message"))
		var all sync.WaitGroup
		for range 8 {
			b.Ref()
			all.Go(func() {
				for range 20 {
					b.Ref()
					if string(b.Bytes()) != "message" {
						t.Error("the content changed under a reference")
					}
					b.Release()
				}
				b.Release()
			})
		}
		all.Wait()
		if n := b.refs.Load(); n != 1 {
			t.Fatalf("%d references are left, want 1", n)
		}
		b.Release()
	}
}

func ExampleBuffer() {
	b := NewBuffer(64)
	b.Append([]byte("hello "))
	b.SetBytes(append(b.Bytes(), "gopher"...))
	b.Ref() // for somebody else
	fmt.Printf("%s, %d bytes\n", b.Bytes(), b.Len())
	b.Release()
	b.Release()
	// Output: hello gopher, 12 bytes
}

func ExampleWrapBuffer() {
	b := WrapBuffer([]byte("hello"))
	defer b.Release()
	fmt.Println(b.Len())
	// Output: 5
}
