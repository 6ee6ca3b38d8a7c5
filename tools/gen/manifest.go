package main

import (
	"path"
	"path/filepath"
)

// module is the path of the repository's root module. The Go import path of a
// directory is this and the directory's path, nested modules included.
const module = "github.com/strata-grpc/strata"

// A target is one directory of the repository with .proto files in it and the
// code that is generated from them.
type target struct {
	dir   string   // relative to the repository's root
	files []string // in dir

	// importAs is the path below which .proto files import those in dir, when
	// that is not dir itself. It is part of the descriptors' identity.
	importAs string

	// private keeps descriptors out of the global registries. It must be set
	// for every file that google.golang.org/grpc registers as well.
	private bool

	// request writes the compiled files as they are, to dir/<request>.
	request string
}

// manifest is all generated code of the repository.
var manifest = []target{
	{
		dir:   "walkthroughs/echopb",
		files: []string{"echo.proto"},
	},
	{
		dir:   "layer5_stubs/internal/testpb",
		files: []string{"test.proto"},
	},
	{
		dir:      "tests/grpctestingpb",
		importAs: "grpc/testing",
		files:    []string{"empty.proto", "messages.proto", "test.proto"},
		private:  true,
	},
	{
		dir:      "layer5_stubs/protoc-gen-go-strata/testdata",
		importAs: "testdata",
		files:    []string{"edition.proto", "info.proto", "legacy.proto", "library.proto"},
		request:  "request.binpb",
	},
}

// importPath returns the path by which .proto files import file.
func (t target) importPath(file string) string {
	if t.importAs != "" {
		return path.Join(t.importAs, file)
	}
	return path.Join(t.dir, file)
}

// manifestJobs returns the jobs that generate targets. Their outputs are
// relative to the root, and the files of each target may import those of any other.
func manifestJobs(root string, targets []target) []job {
	var inc includes
	opts := []string{"module=" + module}
	for _, t := range targets {
		inc = append(inc, include{
			virtual: path.Dir(t.importPath("x")),
			dir:     filepath.Join(root, filepath.FromSlash(t.dir)),
		})
		if t.request != "" {
			continue
		}
		for _, f := range t.files {
			opts = append(opts, "M"+t.importPath(f)+"="+path.Join(module, t.dir))
		}
	}

	var jobs []job
	for _, t := range targets {
		j := job{includes: inc, goOpts: opts, stubOpts: opts, private: t.private}
		for _, f := range t.files {
			j.files = append(j.files, t.importPath(f))
		}
		if t.request != "" {
			j.request = path.Join(t.dir, t.request)
		}
		jobs = append(jobs, j)
	}
	return jobs
}
