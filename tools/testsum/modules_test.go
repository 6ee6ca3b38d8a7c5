package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestFindModules(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                 "module example.com/a\n\ngo 1.26.0\n",
		"a.go":                   "package a\n",
		"a_test.go":              "package a\n\nimport \"testing\"\n\nfunc FuzzA(f *testing.F) {}\n",
		"nested/go.mod":          "module example.com/a/nested\n\ngo 1.26.0\n",
		"nested/n.go":            "package nested\n",
		"pin/go.mod":             "module example.com/a/pin\n\ngo 1.26.0\n",
		"testdata/x/go.mod":      "module example.com/x\n\ngo 1.26.0\n",
		"testdata/x/x.go":        "package x\n",
		".hidden/go.mod":         "module example.com/h\n\ngo 1.26.0\n",
		".hidden/hidden.go":      "package hidden\n",
		"nested/sub/sub_test.go": "package sub\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	modules, err := findModules(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) != 2 || modules[0].dir != root || modules[1].dir != filepath.Join(root, "nested") {
		t.Fatalf("found %+v, want the root and nested", modules)
	}
	if n := len(modules[1].packages); n != 2 {
		t.Errorf("nested has %d packages, want 2", n)
	}
	got := modules[0].packagesWith(regexp.MustCompile(`(?m)^func Fuzz`))
	if len(got) != 1 || got[0] != "example.com/a" {
		t.Errorf("packages with a fuzz target: %v, want example.com/a", got)
	}
	if _, err := findModules(filepath.Join(root, "pin")); err == nil {
		t.Error("a tree without packages was accepted")
	}
}
