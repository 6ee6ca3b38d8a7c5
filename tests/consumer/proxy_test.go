package consumer

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	libraryPath = "github.com/strata-grpc/strata"
	// libraryVersion is what the library is published as in the test's proxy.
	// The test has a module cache of its own, so nobody else ever sees it.
	libraryVersion = "v0.999.0-consumer"
	// libraryDir is the root of the repository.
	libraryDir = "../.."
)

// publish packs the library's module into a folder that the go command can use
// as a proxy, and returns its URL. What git ignores must not be in a release:
// hidden folders and built programs are left out.
func publish(t *testing.T) string {
	t.Helper()
	listed, err := zip.CheckDir(libraryDir) // knows of nested modules and limits
	if err != nil {
		t.Fatal(err)
	}
	var files []zip.File
	for _, name := range listed.Valid {
		rel, err := filepath.Rel(libraryDir, name)
		if err != nil {
			t.Fatal(err)
		}
		top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		if strings.HasPrefix(top, ".") || top == "bin" {
			continue
		}
		files = append(files, sourceFile{path: filepath.ToSlash(rel), name: name})
	}
	root := t.TempDir()
	escaped, err := module.EscapePath(libraryPath)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Create(filepath.Join(dir, libraryVersion+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(zip.Create(packed, module.Version{Path: libraryPath, Version: libraryVersion}, files), packed.Close())
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(libraryDir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{libraryVersion, time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, libraryVersion+".mod"), mod)
	writeFile(t, filepath.Join(dir, libraryVersion+".info"), info)
	writeFile(t, filepath.Join(dir, "list"), []byte(libraryVersion+"\n"))
	return fileURL(root)
}

// A sourceFile is a file to be packed.
type sourceFile struct{ path, name string }

func (f sourceFile) Path() string                 { return f.path }
func (f sourceFile) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.name) }
func (f sourceFile) Open() (io.ReadCloser, error) { return os.Open(f.name) }

// A workshop is a place to run the go command in as a user's machine would:
// with a module cache of its own and the library from a proxy.
type workshop struct {
	dir string // of the user's module
	bin string // for programs
	env []string
}

// newWorkshop prepares a workshop. Modules come from the test's own proxy, then
// from the module cache of whoever runs the test, and then from the proxies
// that they have configured, so that it works offline where tests do.
func newWorkshop(t *testing.T, proxy string) *workshop {
	t.Helper()
	settings := strings.Split(strings.TrimSpace(string(output(t, exec.Command("go", "env", "GOMODCACHE", "GOPROXY", "GONOSUMDB")))), "\n")
	settings = append(settings, "", "", "")
	modCache, proxies, noSum := settings[0], settings[1], settings[2]
	cache, bin := filepath.Join(t.TempDir(), "mod"), t.TempDir()
	shareChecksums(t, modCache, cache)
	list := proxy + "," + fileURL(filepath.Join(modCache, "cache", "download"))
	if proxies != "" {
		list += "," + proxies
	}
	noSum = strings.Trim(noSum+","+libraryPath, ",")
	return &workshop{dir: t.TempDir(), bin: bin, env: append(os.Environ(),
		"GOMODCACHE="+cache, "GOBIN="+bin, "GOPROXY="+list, "GONOSUMDB="+noSum, "GOPRIVATE=", "GONOPROXY=none",
		// The test's folder is never the same: -trimpath keeps its name out of
		// what is compiled, so that the build cache knows it the next time.
		"GOFLAGS=-mod=mod -modcacherw -trimpath -buildvcs=false", "GOWORK=off", "GO111MODULE=on")}
}

// shareChecksums lets the new module cache use what the other one knows of the
// checksum database, which may be out of reach.
func shareChecksums(t *testing.T, from, to string) {
	t.Helper()
	known := filepath.Join(from, "cache", "download", "sumdb")
	if _, err := os.Stat(known); err != nil {
		return
	}
	download := filepath.Join(to, "cache", "download")
	if err := os.MkdirAll(download, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(download, "sumdb"), os.DirFS(known)); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in the user's module and returns its standard output.
func (w *workshop) run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return output(t, cmd)
}

// output runs a command that must succeed.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s%s", cmd, err, exit.Stderr, out)
	}
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return out
}

// fileURL returns the URL of a folder.
func fileURL(dir string) string {
	slashed := filepath.ToSlash(dir)
	if !strings.HasPrefix(slashed, "/") { // a drive letter
		slashed = "/" + slashed
	}
	return "file://" + slashed
}

// writeFile writes a file that only the test sees.
func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
