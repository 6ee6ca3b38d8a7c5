package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const exportingSource = `// Package status is
// exported.
package status

import "example.com/elsewhere"

type Code uint32

const (
	OK Code = iota
	Canceled
	hidden
)

const Far = elsewhere.Value

var Default, other = 1, 2

var Typed *Code

type Status struct {
	Code    Code
	Message string
	secret  int
	elsewhere.Base
}

type Sealed[T any] interface {
	Get(
		key string,
	) (T, error)
	seal()
}

type Alias = elsewhere.Thing

func New(c Code,
	opts ...func(*Status)) *Status {
	return nil
}

func (s *Status) Err() error { return nil }

func (c code) Exported() {}

func unexported() {}
`

var exportedLines = []string{
	"const Canceled Code = 1",
	"const Far",
	"const OK Code = 0",
	"func (s *Status) Err() error",
	"func New(c Code, opts ...func(*Status)) *Status",
	"type Alias = elsewhere.Thing",
	"type Code uint32",
	"type Sealed[T any] interface",
	"type Sealed[T any] interface, Get(key string) (T, error)",
	"type Sealed[T any] interface, sealed by an unexported method",
	"type Status struct",
	"type Status struct, Code Code",
	"type Status struct, Message string",
	"type Status struct, embeds elsewhere.Base",
	"var Default",
	"var Typed *Code",
}

// loadStatus returns a tree whose only stable package has the source.
func loadStatus(t *testing.T, root, source string) *tree {
	t.Helper()
	dir := filepath.Join(root, "layer1_transport", "status")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "status.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	tr, err := loadTree(root)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestExports(t *testing.T) {
	tr := loadStatus(t, t.TempDir(), exportingSource)
	got := exports(tr, tr.packages[0])
	if !slices.Equal(got, exportedLines) {
		t.Errorf("exports:\n%q\nwant\n%q", got, exportedLines)
	}
}

func TestCheckAPI(t *testing.T) {
	root := t.TempDir()
	for _, step := range []struct {
		name   string
		source string
		write  bool
		want   bool
	}{
		{"a package without a listing fails", exportingSource, false, false},
		{"writing makes a listing", exportingSource, true, true},
		{"the same package passes", exportingSource, false, true},
		{"an addition fails", exportingSource + "\nfunc More() {}\n", false, false},
		{"a removal fails", "package status\n", false, false},
	} {
		got, err := checkAPI(t.Output(), loadStatus(t, root, step.source), step.write)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got != step.want {
			t.Errorf("%s: checkAPI = %v, want %v", step.name, got, step.want)
		}
	}
}
