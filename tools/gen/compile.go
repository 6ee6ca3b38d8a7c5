package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"
)

// An include makes the files in dir importable, below the path virtual if it
// is not empty.
type include struct {
	virtual string
	dir     string
}

// includes are searched in order. It is the flag -I.
type includes []include

// String returns the directories for messages.
func (i *includes) String() string { return fmt.Sprint(*i) }

// Set adds one include, given as [virtual=]directory.
func (i *includes) Set(s string) error {
	virtual, dir, mapped := strings.Cut(s, "=")
	if !mapped {
		virtual, dir = "", s
	}
	if dir == "" {
		return errors.New("want [virtual=]directory")
	}
	*i = append(*i, include{virtual: strings.Trim(virtual, "/"), dir: dir})
	return nil
}

// open finds an import path in the include directories.
func (i includes) open(importPath string) (io.ReadCloser, error) {
	if !fs.ValidPath(importPath) {
		return nil, fmt.Errorf("%q is not a relative path that stays below its folder", importPath)
	}
	for _, inc := range i {
		rest := importPath
		if inc.virtual != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(importPath, inc.virtual+"/"); !ok {
				continue
			}
		}
		f, err := os.Open(filepath.Join(inc.dir, filepath.FromSlash(rest)))
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%q: %w in the include directories %v", importPath, fs.ErrNotExist, i)
}

// compile reads and links files and returns the request that a plugin gets for
// them, without its parameter. The error joins everything that is wrong.
func compile(ctx context.Context, inc includes, files []string) (*pluginpb.CodeGeneratorRequest, error) {
	var problems []error
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: inc.open}),
		SourceInfoMode: protocompile.SourceInfoStandard,
		Reporter: reporter.NewReporter(func(err reporter.ErrorWithPos) error {
			problems = append(problems, err)
			return nil // go on: report the others too
		}, nil),
	}
	linked, err := compiler.Compile(ctx, files...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err != nil {
		return nil, err
	}

	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: files}
	seen := make(map[string]bool)
	for _, fd := range linked {
		addFile(req, seen, fd)
	}
	return req, nil
}

// addFile adds fd after everything that it imports, as plugins require.
func addFile(req *pluginpb.CodeGeneratorRequest, seen map[string]bool, fd protoreflect.FileDescriptor) {
	if seen[fd.Path()] {
		return
	}
	seen[fd.Path()] = true
	for i := range fd.Imports().Len() {
		addFile(req, seen, fd.Imports().Get(i).FileDescriptor)
	}
	req.ProtoFile = append(req.ProtoFile, protoutil.ProtoFromFileDescriptor(fd))
}
