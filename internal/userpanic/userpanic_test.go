package userpanic_test

import (
	"errors"
	"testing"

	"github.com/strata-grpc/strata/internal/userpanic"
)

type token struct{ text string }

func (t *token) Get() string { return t.text }

type lookup func() string

func TestCatch(t *testing.T) {
	noIndex := 0
	secret := errors.New("SECRET")
	for _, tc := range []struct {
		name string
		v    any
		f    func()
		want string
	}{
		{"a method that returns", &token{"x"}, func() { (&token{"x"}).Get() }, ""},
		{"a nil pointer", (*token)(nil), func() { (*token)(nil).Get() },
			"a nil *userpanic_test.token panicked in Get: runtime error: invalid memory address or nil pointer dereference"},
		{"a nil pointer whose method allows it", (*token)(nil), func() {}, ""},
		{"a nil function", lookup(nil), func() { lookup(nil)() },
			"a nil userpanic_test.lookup panicked in Get: runtime error: invalid memory address or nil pointer dereference"},
		{"a value that quotes a secret", token{}, func() { panic(secret) }, "userpanic_test.token panicked in Get: *errors.errorString"},
		{"a text that may be one", &token{}, func() { panic("SECRET") }, "*userpanic_test.token panicked in Get: string"},
		{"an index", &token{}, func() { _ = make([]int, 0)[noIndex] }, "*userpanic_test.token panicked in Get: runtime error: index out of range [0] with length 0"},
		{"nothing at all", nil, func() { panic(1) }, "<nil> panicked in Get: int"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ""
			if err := userpanic.Catch(tc.v, "Get", func() error { tc.f(); return nil }); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("Catch = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestCatchReturns: what f returns is returned.
func TestCatchReturns(t *testing.T) {
	want := errors.New("no")
	if got := userpanic.Catch(t, "Get", func() error { return want }); got != want {
		t.Errorf("Catch = %v, want %v", got, want)
	}
}

func TestIsNil(t *testing.T) {
	for _, v := range []any{(*token)(nil), lookup(nil), map[int]int(nil), []int(nil), (chan int)(nil)} {
		if !userpanic.IsNil(v) {
			t.Errorf("IsNil(%T) = false", v)
		}
	}
	for _, v := range []any{nil, token{}, &token{}, lookup(func() string { return "" }), 0} {
		if userpanic.IsNil(v) {
			t.Errorf("IsNil(%T) = true", v)
		}
	}
}
