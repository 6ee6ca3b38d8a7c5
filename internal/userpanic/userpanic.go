// Package userpanic turns a panic of a value that a user has passed in into an
// error that says which value it was, so that a mistake in an option is told like
// any other.
//
// # Contract
//
//   - A value is never taken for nil because it is a nil pointer in an interface:
//     methods of its type may allow that. Its methods are called, and if one panics
//     the error says that the pointer was nil.
//   - What a panic was given is told only where the runtime has worded it: it may
//     quote a secret.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
package userpanic

import (
	"fmt"
	"reflect"
	"runtime"
)

// Catch calls f, which calls the method of v, and returns its error. A panic is an
// error such as
//
//	a nil *auth.Token panicked in RequireTransportSecurity: runtime error: …
func Catch(v any, method string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked in %s: %s", describe(v), method, Text(p))
		}
	}()
	return f()
}

// Text describes what a panic was given: the runtime's own words, else only the
// type, since it may be a secret.
func Text(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// describe returns the type of v.
func describe(v any) string {
	if IsNil(v) {
		return fmt.Sprintf("a nil %T", v)
	}
	return fmt.Sprintf("%T", v)
}

// IsNil reports whether v is a nil pointer, map, function or the like in an
// interface that is not nil itself.
func IsNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return r.IsNil()
	}
	return false
}
