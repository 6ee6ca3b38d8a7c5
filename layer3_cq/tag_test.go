package cq

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPanicsTellNoContents: a tag is named by where it is and its type. What it
// holds may be a secret, and another goroutine's.
func TestPanicsTellNoContents(t *testing.T) {
	type call struct{ password string }
	held := &call{"secret"}
	for name, misuse := range map[string]func(){
		"a pointer ended":      func() { New(Next, Config{}).EndOp(held, true, nil, new(Completion)) },
		"a pointer as Functor": func() { New(Callback, Config{}).BeginOp(held) },
		"a pointer in use":     func() { q := New(Next, Config{Debug: true}); q.BeginOp(held); q.Init(Next, Config{}) },
		"a value ended":        func() { New(Next, Config{}).EndOp(*held, true, nil, new(Completion)) },
		"what cannot be equal": func() { New(Pluck, Config{}).BeginOp([]string{"secret"}) },
		"asked for in vain":    func() { New(Pluck, Config{}).Pluck([]string{"secret"}, time.Time{}) },
		"a map as Functor":     func() { New(Callback, Config{}).BeginOp(map[string]string{"k": "secret"}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				if !strings.HasPrefix(text, "cq: ") || strings.Contains(text, "secret") {
					t.Errorf("panics with %q", text)
				}
			}()
			misuse()
			t.Error("did not panic")
		})
	}
	for _, tc := range []struct {
		tag  Tag
		want string
	}{
		{nil, "<nil> (<nil>)"}, {7, "7 (int)"}, {"send", "send (string)"},
		{[]int{1}, "of type []int"}, {held, fmt.Sprintf("%p (*cq.call)", held)},
	} {
		if got := tagText(tc.tag); got != tc.want {
			t.Errorf("tagText = %q, want %q", got, tc.want)
		}
	}
}
