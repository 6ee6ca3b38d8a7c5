package surfacetest

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// TestMemory runs the suite over the fixtures that need only this process.
func TestMemory(t *testing.T) { Run(t, Memory()...) }

// TestEveryName: each test of gRPC core's suite is a case here, or there is a
// reason why not, and nothing is in two places.
func TestEveryName(t *testing.T) {
	here := map[string]string{}
	add := func(file, name, what string) {
		if have := here[file+" "+name]; have != "" {
			t.Errorf("%s %s is %s and %s", file, name, have, what)
		}
		here[file+" "+name] = what
	}
	for _, tc := range suite() {
		if tc.test == nil == (tc.waits == "") {
			t.Errorf("%s %s has to have either a test or something that it waits for", tc.file, tc.name)
		}
		add(tc.file, tc.name, "a case")
	}
	core := coreNames(t)
	for _, n := range notMirrored {
		if n.why == "" {
			t.Errorf("%s is not mirrored, and nobody says why", n.file)
		}
		names := n.names
		if names == nil {
			names = core[n.file]
		}
		for _, name := range names {
			add(n.file, name, "not mirrored")
		}
	}
	for file, names := range core {
		for _, name := range names {
			if here[file+" "+name] == "" {
				t.Errorf("%s %s is missing", file, name)
			}
			delete(here, file+" "+name)
		}
	}
	for left := range here {
		if !strings.HasPrefix(left, "ours") {
			t.Errorf("gRPC core has no test %q; a case of our own is in the file \"ours…\"", left)
		}
	}
}

// coreNames reads the names of gRPC core's tests, by file.
func coreNames(t *testing.T) map[string][]string {
	f, err := os.Open("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := map[string][]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := lines.Text(); line != "" && line[0] != '#' {
			words := strings.Fields(line)
			names[words[0]] = words[1:]
		}
	}
	return names
}
