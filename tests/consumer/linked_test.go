package consumer

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxBinary bounds the stripped program. Nothing breaks above it; a jump says
// that something big came along.
const maxBinary = 12 << 20

// neverLinked are the packages that a user of the library must not get from it.
var neverLinked = []string{"net/http", "html/template", "text/template", "golang.org/x/net/http2", "testing", "google.golang.org/grpc"}

// checkDependencies looks at all packages of the program.
func checkDependencies(t *testing.T, w *workshop) {
	deps := strings.Fields(string(w.run(t, "go", "list", "-deps", ".")))
	if !slices.Contains(deps, libraryPath) {
		t.Fatalf("the program does not import %s", libraryPath)
	}
	var others []string
	for _, dep := range deps {
		if slices.Contains(neverLinked, dep) {
			t.Errorf("the program links %s", dep)
		}
		if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") && !strings.HasPrefix(dep, libraryPath) && !strings.HasPrefix(dep, "example.com/") {
			others = append(others, dep)
		}
	}
	t.Logf("%d packages, of which %d are of other modules", len(deps), len(others))
}

// checkSize builds the program as it would be shipped.
func checkSize(t *testing.T, w *workshop) {
	program := filepath.Join(w.bin, "hello-stripped")
	w.run(t, "go", "build", "-ldflags=-s -w", "-o", program, ".")
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the stripped program has %.1f MiB", float64(info.Size())/(1<<20))
	if info.Size() > maxBinary {
		t.Errorf("the program has %d bytes, the limit is %d", info.Size(), maxBinary)
	}
}

// checkDeadCode makes sure that the linker drops methods that nobody calls.
//
// The linker keeps an exported method only if it is called, or if its name and
// type are those of a method of an interface that is used. It has to give that
// up, and keep every exported method of every type that it keeps, as soon as a
// function can be reached that calls reflect's Method, or its MethodByName with
// a name that is no constant. The compiler marks such functions, and the linker
// prints the marks with -dumpdep. No mark may be there: none of the standard
// library's packages that belong here has one, and text/template, which has,
// is just what must not be linked.
func checkDeadCode(t *testing.T, w *workshop) {
	marked := reflectMethods(t, w, ".")
	for _, symbol := range marked {
		t.Errorf("%s calls methods by reflection: the linker keeps all methods", symbol)
	}
	// The check itself is checked with a program that does what it looks for.
	writeFile(t, filepath.Join(w.dir, "keeper", "main.go"), []byte(`package main

import (
	"os"
	"reflect"
)

func main() { reflect.ValueOf(os.Stdout).MethodByName(os.Args[0]) }
`))
	if marked := reflectMethods(t, w, "./keeper"); !slices.Contains(marked, "main.main") {
		t.Errorf("a program that calls methods by name was not found out; marked are %q", marked)
	}
}

// reflectMethods returns the functions of a program that the linker can reach
// and that call methods by reflection.
func reflectMethods(t *testing.T, w *workshop, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), "program"), pkg)
	cmd.Dir, cmd.Env = w.dir, w.env
	// A line is "function -> what it refers to", with marks behind the names.
	edges, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%.2000s", cmd, err, edges)
	}
	var found []string
	lines := bufio.NewScanner(bytes.NewReader(edges))
	lines.Buffer(nil, 1<<20) // names of instantiated types are long
	seen := 0
	for lines.Scan() {
		from, to, ok := strings.Cut(lines.Text(), " -> ")
		if !ok {
			continue
		}
		seen++
		for _, name := range []string{from, to} {
			if symbol, marks, ok := strings.Cut(name, " <"); ok && strings.Contains(marks, "ReflectMethod") && !slices.Contains(found, symbol) {
				found = append(found, symbol)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if seen < 1000 {
		t.Fatalf("the linker named only %d references", seen)
	}
	return found
}
