package main

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRepositoryIsUpToDate is what make check runs: every generated file on
// disk is what its .proto file and the plugins make of it.
func TestRepositoryIsUpToDate(t *testing.T) {
	if err := run(t.Context(), []string{"-all", "-check"}); err != nil {
		t.Errorf("run make generate:\n%v", err)
	}
}

// TestManifestIsComplete finds .proto files that the manifest lacks, and
// generated files that no target makes any more.
func TestManifestIsComplete(t *testing.T) {
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, target := range manifest {
		for _, f := range target.files {
			listed[path.Join(target.dir, f)] = true
		}
	}
	made, err := generate(t.Context(), root, manifestJobs(root, manifest))
	if err != nil {
		t.Fatal(err)
	}
	protos := 0
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if path.Ext(rel) == ".proto" {
			protos++
			// A test may bring a file that it generates from itself.
			if !listed[rel] && !strings.Contains(rel, "/testdata/") {
				t.Errorf("%s is not in the manifest", rel)
			}
		}
		if _, ok := made[rel]; strings.HasSuffix(rel, ".pb.go") && !ok {
			t.Errorf("%s is generated code that no target in the manifest makes", rel)
		}
		return nil
	})
	if err != nil || protos == 0 {
		t.Fatalf("found %d .proto files: %v", protos, err)
	}
}

func TestRunGeneratesFiles(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want []string // slash-separated, below the output directory
	}{
		{
			name: "output paths follow the .proto files' by default",
			want: []string{"a/a.pb.go", "a/a_strata.pb.go"},
		},
		{
			name: "an option of both plugins decides the paths of both",
			args: []string{"-opt", "module=example.com"},
			want: []string{"apb/a.pb.go", "apb/a_strata.pb.go"},
		},
		{
			name: "an option of one plugin leaves the other alone",
			args: []string{"-strata_opt", "package_suffix=strata"},
			want: []string{"a/a.pb.go", "a/apbstrata/a_strata.pb.go"},
		},
		{
			name: "a private package gets its registries",
			args: []string{"-private"},
			want: []string{"a/a.pb.go", "a/a_strata.pb.go", "a/registry.pb.go"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, out := t.TempDir(), t.TempDir()
			writeFile(t, filepath.Join(in, "a.proto"), `edition = "2023";
				package a;
				option go_package = "example.com/apb";
				message M {}
				service S { rpc Call(M) returns (M); }`)
			args := append([]string{"-I", "a=" + in, "-out", out}, tc.args...)
			if err := run(t.Context(), append(args, "a/a.proto")); err != nil {
				t.Fatal(err)
			}
			if got := listFiles(t, out); !slices.Equal(got, tc.want) {
				t.Errorf("run(%q) wrote %q, want %q", args, got, tc.want)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.proto"), `syntax = "proto3"; option go_package = "example.com/a"; message M {}`)
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"files beside -all", []string{"-all", "a.proto"}, "-all takes no files"},
		{"an include without a directory", []string{"-I", "a=", "a.proto"}, "virtual"},
		{"a file that is not there", []string{"-I", dir, "b.proto"}, "b.proto"},
		{"an option that no plugin knows", []string{"-I", dir, "-opt", "colour=red", "a.proto"}, "protoc-gen-go"},
		{"an option that the second plugin refuses", []string{"-I", dir, "-strata_opt", "package_suffix=/", "a.proto"}, "package_suffix"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			args := append([]string{"-out", t.TempDir()}, tc.args...)
			if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("run(%q) = %v, want an error that contains %q", args, err, tc.want)
			}
		})
	}
}

func TestCheckFindsStaleFiles(t *testing.T) {
	dir := t.TempDir()
	files := tree{"a/b.go": []byte("new"), "c.go": []byte("same")}
	if err := files.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := files.check(dir); err != nil {
		t.Errorf("check after write = %v, want nil", err)
	}
	writeFile(t, filepath.Join(dir, "a", "b.go"), "old")
	if err := os.Remove(filepath.Join(dir, "c.go")); err != nil {
		t.Fatal(err)
	}
	err := files.check(dir)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("check = %v, want an error that names %s", err, path)
		}
	}
}

func TestTreeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []generated
		want  string
	}{
		{"two files of one path", []generated{{path: "a.go"}, {path: "a.go"}}, "twice"},
		{"a path that leaves the directory", []generated{{path: "../a.go"}}, "outside"},
		{"an absolute path", []generated{{path: "/a.go"}}, "outside"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := (tree{}).add(tc.files); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("add = %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

// writeFile writes text to file, which is in a temporary directory.
func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// listFiles returns the files below dir, sorted, with slashes.
func listFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
