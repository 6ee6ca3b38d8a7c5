package stubs

import (
	"strings"
	"testing"
)

var methodPaths = []struct {
	path, service, name string
	ok                  bool
}{
	{"/a.B/C", "a.B", "C", true},
	{"/a/b/C", "a/b", "C", true},
	{"//", "", "", true},
	{"/a.B/", "a.B", "", true},
	{"/a.B", "", "", false},
	{"a.B/C", "", "", false},
	{"/", "", "", false},
	{"", "", "", false},
}

func TestSplitMethod(t *testing.T) {
	for _, tc := range methodPaths {
		service, name, ok := splitMethod(tc.path)
		if service != tc.service || name != tc.name || ok != tc.ok {
			t.Errorf("splitMethod(%q) = %q, %q, %t; want %q, %q, %t", tc.path, service, name, ok, tc.service, tc.name, tc.ok)
		}
	}
}

// FuzzSplitMethod: what was cut can be put together again.
func FuzzSplitMethod(f *testing.F) {
	for _, tc := range methodPaths {
		f.Add(tc.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		service, name, ok := splitMethod(path)
		if ok && ("/"+service+"/"+name != path || strings.Contains(name, "/")) {
			t.Errorf("splitMethod(%q) = %q, %q", path, service, name)
		}
	})
}
