package consumer

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// messagePlugin is built at the version of protobuf that the library requires.
const messagePlugin = "google.golang.org/protobuf/cmd/protoc-gen-go"

// TestConsumer is the first hour of a user of the library.
func TestConsumer(t *testing.T) {
	begin := time.Now()
	w := newWorkshop(t, publish(t))
	writeFile(t, filepath.Join(w.dir, "go.mod"), fmt.Appendf(nil, "module example.com/hello\n\ngo 1.26.0\n\nrequire %s %s\n", libraryPath, libraryVersion))
	copyFile(t, "testdata/hello/main.go", filepath.Join(w.dir, "main.go"))
	// What the library has pinned is verified as it is there.
	copyFile(t, filepath.Join(libraryDir, "go.sum"), filepath.Join(w.dir, "go.sum"))

	// As the documentation says, outside of any module.
	w.run(t, "go", "install", libraryPath+"/layer5_stubs/protoc-gen-go-strata@"+libraryVersion)
	w.run(t, "go", "build", "-o", w.bin+string(filepath.Separator), messagePlugin)
	generated := filepath.Join(w.dir, "hellopb")
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-strata"} {
		generate(t, filepath.Join(w.bin, plugin), "hello.proto", generated, "paths=source_relative")
	}
	t.Logf("published and generated after %.1f s", time.Since(begin).Seconds())

	w.run(t, "go", "vet", "./...")
	program := filepath.Join(w.bin, "hello")
	w.run(t, "go", "build", "-o", program, ".")
	if got, want := string(w.run(t, program)), "Hello, consumer!\n"; got != want {
		t.Fatalf("the program printed %q, want %q", got, want)
	}
	t.Logf("built and run after %.1f s", time.Since(begin).Seconds())

	t.Run("dependencies", func(t *testing.T) { checkDependencies(t, w) })
	t.Run("size", func(t *testing.T) { checkSize(t, w) })
	t.Run("dead code", func(t *testing.T) { checkDeadCode(t, w) })
	t.Logf("all done after %.1f s", time.Since(begin).Seconds())
}

// copyFile copies a file into the user's module.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, data)
}
