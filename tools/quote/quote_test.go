package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSymbols(t *testing.T) {
	ix, err := load("testdata/tree")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		symbol         string
		line, end, doc int
		code           string
	}{
		{"package", 1, 1, 0, "Package pkg is for the test.\n"},
		{"T", 6, 12, 1, "// A T has fields.\ntype T[K comparable] struct {\n\t// A is first.\n\tA int\n\n\tb, c string // two\n}"},
		{"T.A", 8, 9, 1, "// A is first.\nA int"},
		{"T.b", 11, 11, 0, "b, c string // two"},
		{"T.c", 11, 11, 0, "b, c string // two"},
		{"(*T).Do", 14, 17, 1, "// Do does.\nfunc (t *T[K]) Do() {\n\tfmt.Println(t)\n}"},
		{"(T).String", 19, 19, 0, `func (t T[K]) String() string { return "" }`},
		{"I.Ask", 23, 24, 1, "// Ask asks.\nAsk(n int) error"},
		{"One", 27, 31, 1, "// Group.\nconst (\n\tOne = 1\n\tTwo = 2\n)"},
		{"Two", 27, 31, 1, "// Group.\nconst (\n\tOne = 1\n\tTwo = 2\n)"},
		{"G", 34, 35, 1, "// In a group.\nG int"},
		{"H", 36, 36, 0, "H string"},
		{"plain", 39, 39, 0, "func plain() {}"},
	} {
		q, ok := ix["pkg"][tc.symbol]
		if !ok {
			t.Errorf("no %s", tc.symbol)
			continue
		}
		q.HTML = "" // which has a test of its own
		if want := (quote{File: "pkg/pkg.go", Line: tc.line, End: tc.end, Code: tc.code, Doc: tc.doc}); q != want {
			t.Errorf("%s is\n%+v, want\n%+v", tc.symbol, q, want)
		}
	}
	if n := len(ix["pkg"]); n != 14 { // the 13 above and I
		t.Errorf("%d symbols, want 14", n)
	}
}

func TestHTML(t *testing.T) {
	got := asHTML("Package x is [T] and [pkg.U] <b>.\n\n\ta figure\n\n# Contract\n\n  - One\n  - [(*T).Do]\n")
	want := "<p>Package x is <code>T</code> and <code>pkg.U</code> &lt;b&gt;.\n<pre>a figure\n</pre>\n<h5>Contract</h5>\n<ul>\n<li>One\n<li><code>(*T).Do</code>\n</ul>\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTree: every symbol of the repository can be found where the index says.
func TestTree(t *testing.T) {
	ix, err := load("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ dir, symbol string }{
		{"layer1_transport/http2", "(*conn).PerformOp"}, {"layer2_callstack", "CallElem"}, {"layer3_cq", "(*Queue).Pluck"},
		{"layer4_surface", "(Call).StartBatch"}, {"layer5_stubs", "(*ClientConn).Invoke"}, {"layer2_callstack", "package"},
		{"layer2_callstack", "TestOrder"}, {".", "NewClient"},
	} {
		if _, ok := ix[want.dir][want.symbol]; !ok {
			t.Errorf("no %s in %s", want.symbol, want.dir)
		}
	}
	if len(ix["tools/quote/testdata/tree/pkg"]) != 0 {
		t.Error("testdata is listed")
	}
}

func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "data", "quotes.json")
	if err := run("testdata/tree", out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var ix index
	if err := json.Unmarshal(text, &ix); err != nil || ix["pkg"]["plain"].Line != 39 {
		t.Errorf("read back %v, %v", ix["pkg"]["plain"], err)
	}
}

// TestBroken: a file that cannot be parsed is an error with its place, and
// nothing is written.
func TestBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.go"), []byte("package bad\n\nfunc {\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "quotes.json")
	if err := run(dir, out); err == nil || !strings.Contains(err.Error(), "bad.go:3:6") {
		t.Errorf("run failed with %v, want one at bad.go:3:6", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a file was written")
	}
}
