package tests

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root       = ".."
	modulePath = "github.com/strata-grpc/strata"
)

// An external is a package tree outside the standard library that the
// library's module may import.
type external struct {
	path   string   // this package and all below it
	in     []string // the folders that may import it; empty means all
	tests  bool     // only from _test.go files, and from testSupport
	reason string
}

// testSupport are packages of the library's module that only tests import. They
// may do what tests may, since nothing else links them: a package that did
// would link net/http, which TestLibraryLinksNoHTTPServer finds.
var testSupport = map[string]string{
	"layer1_transport/transporttest/framescript": "the scripted peer speaks through the Framer of x/net, which is not ours to be wrong in",
}

// externals is the whole list. To add to it is to argue for it: every user of
// the library gets the module too.
var externals = []external{
	{path: "golang.org/x/net/http2/hpack", reason: "RFC 7541 in a leaf package that links nothing else"},
	{path: "golang.org/x/net/http2", tests: true, reason: "its Framer is the oracle of differential tests; in the library it would link net/http"},
	{path: "golang.org/x/net/http/httpproxy", in: []string{"layer2_callstack/clientchannel/proxy"}, reason: "the environment's rules for proxies, as every Go program has them; links package idna and no net/http"},
	{path: "golang.org/x/net/nettest", tests: true, reason: "TestConn, the contract of a net.Conn, for the in-memory connection"},
	{path: "google.golang.org/protobuf/compiler/protogen", in: []string{"layer5_stubs/protoc-gen-go-strata"}, reason: "the API of protoc plugins"},
	{path: "google.golang.org/protobuf", reason: "messages: the default codec, and what generated code is made of"},
	{path: "google.golang.org/genproto/googleapis/rpc", reason: "google.rpc.Status and the error details, which users share with other libraries"},
	{path: "github.com/google/go-cmp", tests: true, reason: "readable differences in tests"},
}

// neverLinked are the packages that importing the library must not link.
var neverLinked = map[string]string{
	"net/http":               "half a megabyte, an HTTP/2 implementation of its own and its debug knobs",
	"html/template":          "calls methods by name, which switches off the linker's dead-code elimination",
	"text/template":          "calls methods by name, which switches off the linker's dead-code elimination",
	"golang.org/x/net/http2": "links net/http",
}

// A sourceFile is one Go file of the library's module.
type sourceFile struct {
	name    string // slash-separated, from the root
	imports []string
}

// folder returns the first element of the file's path, "" at the root.
func (f sourceFile) folder() string {
	if !strings.Contains(f.name, "/") {
		return ""
	}
	top, _, _ := strings.Cut(f.name, "/")
	return top
}

// isTest reports whether only tests are built from the file.
func (f sourceFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// layerOf returns N for a path below a folder "layerN_name", else 0.
func layerOf(name string) int {
	top, _, _ := strings.Cut(name, "/")
	digits, _, found := strings.Cut(strings.TrimPrefix(top, "layer"), "_")
	if !found || !strings.HasPrefix(top, "layer") {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// importFault says why from, a folder of the module, may not import to, the
// import path of another folder of it without the module's path. It returns ""
// for an import that is allowed. This is the architecture:
//
//   - layer N imports layers below N and what lies in its own folder;
//   - layer 3 imports no layer: it declares the observer it needs;
//   - internal/ imports no layer, nor the root;
//   - no layer imports the root, which is made of them.
//
// Do not relax it to make something build: move the code, or let the layer
// below declare the interface it wants.
func importFault(from, to string) string {
	if from == "" {
		return "" // the front door may import everything
	}
	above, below := layerOf(from), layerOf(to)
	toTop, _, _ := strings.Cut(to, "/")
	switch {
	case to == "":
		return from + " imports the root"
	case toTop == from:
		return ""
	case from == "internal" && below != 0:
		return "internal/ imports a layer"
	case above == 3 && below != 0:
		return "layer 3 imports a layer"
	case above != 0 && below >= above:
		return "layer " + strconv.Itoa(above) + " imports layer " + strconv.Itoa(below)
	}
	return ""
}

// externalFault says why the file may not import a package of another module,
// or returns "".
func externalFault(f sourceFile, imp string) string {
	for _, e := range externals {
		if imp != e.path && !strings.HasPrefix(imp, e.path+"/") {
			continue
		}
		if e.tests && !f.isTest() && testSupport[path.Dir(f.name)] == "" {
			return imp + " is for tests: " + e.reason
		}
		allowed := len(e.in) == 0 || slices.ContainsFunc(e.in, func(dir string) bool {
			return strings.HasPrefix(f.name, dir+"/")
		})
		if !allowed {
			return imp + " is for " + strings.Join(e.in, ", ") + " only: " + e.reason
		}
		return ""
	}
	return imp + " is not on the list of externals"
}

// librarySources parses the imports of every Go file of the library's module,
// _test.go files included. Nested modules and testdata are not of it.
func librarySources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(name, d.Name())
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f := sourceFile{name: filepath.ToSlash(rel)}
		for _, spec := range parsed.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imp)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipFolder returns fs.SkipDir for a folder that is not part of the
// library's module.
func skipFolder(name, base string) error {
	if name == root {
		return nil
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return fs.SkipDir
	}
	switch _, err := os.Stat(filepath.Join(name, "go.mod")); {
	case err == nil:
		return fs.SkipDir
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

func TestImportsFollowTheLayers(t *testing.T) {
	layers := map[int]bool{}
	for _, f := range librarySources(t) {
		layers[layerOf(f.name)] = true
		for _, imp := range f.imports {
			first, _, _ := strings.Cut(imp, "/")
			fault := ""
			if own, ok := strings.CutPrefix(imp+"/", modulePath+"/"); ok {
				fault = importFault(f.folder(), strings.TrimSuffix(own, "/"))
			} else if strings.Contains(first, ".") {
				fault = externalFault(f, imp)
			}
			if fault != "" {
				t.Errorf("%s: %s (import %q)", f.name, fault, imp)
			}
		}
	}
	// A check that finds nothing to check must not pass.
	if !layers[1] || !layers[3] {
		t.Errorf("no source of layers 1 and 3 was found, only of %v", layers)
	}
}

func TestImportFault(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string
		fault          bool
	}{
		{"a layer imports the one below", "layer2_callstack", "layer1_transport", false},
		{"a layer imports far below", "layer5_stubs", "layer1_transport/status", false},
		{"a layer imports its own folder", "layer1_transport", "layer1_transport/frame", false},
		{"a layer imports the one above", "layer1_transport", "layer2_callstack", true},
		{"a layer imports another of its number", "layer2_callstack", "layer2_other", true},
		{"layer 3 imports layer 1", "layer3_cq", "layer1_transport", true},
		{"layer 3 imports its own folder", "layer3_cq", "layer3_cq/cqtest", false},
		{"layer 4 imports layer 3", "layer4_surface", "layer3_cq", false},
		{"a layer imports a helper", "layer1_transport", "internal/ring", false},
		{"a helper imports a helper", "internal", "internal/ring", false},
		{"a helper imports a layer", "internal", "layer1_transport/status", true},
		{"a helper imports the root", "internal", "", true},
		{"a layer imports the root", "layer5_stubs", "", true},
		{"the root imports a layer", "", "layer5_stubs", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := importFault(tc.from, tc.to); (got != "") != tc.fault {
				t.Errorf("importFault(%q, %q) = %q, want a fault: %v", tc.from, tc.to, got, tc.fault)
			}
		})
	}
}

func TestExternalFault(t *testing.T) {
	for _, tc := range []struct {
		name, file, imp string
		fault           bool
	}{
		{"hpack in the library", "layer1_transport/http2/headers.go", "golang.org/x/net/http2/hpack", false},
		{"the Framer in the library", "layer1_transport/http2/loops.go", "golang.org/x/net/http2", true},
		{"the Framer in a test", "layer1_transport/http2/loops_test.go", "golang.org/x/net/http2", false},
		{"the Framer in a kit for tests", "layer1_transport/transporttest/framescript/send.go", "golang.org/x/net/http2", false},
		{"the Framer in another kit", "layer1_transport/transporttest/kit.go", "golang.org/x/net/http2", true},
		{"another package of x/net", "layer1_transport/http2/loops_test.go", "golang.org/x/net/trace", true},
		{"protobuf in the library", "layer5_stubs/codec.go", "google.golang.org/protobuf/proto", false},
		{"protogen in the plugin", "layer5_stubs/protoc-gen-go-strata/main.go", "google.golang.org/protobuf/compiler/protogen", false},
		{"protogen elsewhere", "layer5_stubs/codec.go", "google.golang.org/protobuf/compiler/protogen", true},
		{"grpc-go in a test", "layer1_transport/http2/loops_test.go", "google.golang.org/grpc", true},
		{"a name that only begins alike", "layer5_stubs/codec.go", "google.golang.org/protobuffer", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := externalFault(sourceFile{name: tc.file}, tc.imp); (got != "") != tc.fault {
				t.Errorf("externalFault(%s, %s) = %q, want a fault: %v", tc.file, tc.imp, got, tc.fault)
			}
		})
	}
}

// goIn runs the go command in the library's module and returns its output.
func goIn(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// TestLibraryLinksNoHTTPServer looks at everything a package of the library
// pulls in, however far away. Commands are left out: they are not imported.
// The -e is for packages that do not build; the compiler reports those.
func TestLibraryLinksNoHTTPServer(t *testing.T) {
	const format = `{{if ne .Name "main"}}{{.ImportPath}} {{join .Deps " "}}{{end}}`
	seen := 0
	for line := range strings.Lines(string(goIn(t, "list", "-e", "-f", format, "./..."))) {
		paths := strings.Fields(line)
		if len(paths) == 0 {
			continue
		}
		seen++
		if testSupport[strings.TrimPrefix(paths[0], modulePath+"/")] != "" {
			continue
		}
		for _, dep := range paths[1:] {
			if why, ok := neverLinked[dep]; ok {
				t.Errorf("%s links %s, which must not be: %s", paths[0], dep, why)
			}
		}
	}
	if seen == 0 {
		t.Error("the library has no packages")
	}
}

// TestRequirements compares go.mod with the list of externals. Users install
// commands of this module by version, which a replace directive would forbid.
func TestRequirements(t *testing.T) {
	var mod struct {
		Module  struct{ Path string }
		Replace []any
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(goIn(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	if mod.Module.Path != modulePath {
		t.Fatalf("the module is %q, want %q", mod.Module.Path, modulePath)
	}
	if len(mod.Replace) != 0 {
		t.Errorf("go.mod has %d replace directives, want none", len(mod.Replace))
	}
	for _, req := range mod.Require {
		wanted := slices.ContainsFunc(externals, func(e external) bool {
			return e.path == req.Path || strings.HasPrefix(e.path, req.Path+"/")
		})
		if !req.Indirect && !wanted {
			t.Errorf("go.mod requires %s, of which no package is on the list of externals", req.Path)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "go.work")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("go.work in the tree: every module is built alone (%v)", err)
	}
}
