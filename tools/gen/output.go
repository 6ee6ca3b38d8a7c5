package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"
)

// A generated file, its path relative to the output directory, with slashes.
type generated struct {
	path    string
	content []byte
}

// A tree is everything that a run generates, by path.
type tree map[string][]byte

// add adds files. Two files of one path are an error: one would be lost.
func (t tree) add(files []generated) error {
	for _, f := range files {
		if !filepath.IsLocal(filepath.FromSlash(f.path)) {
			return fmt.Errorf("%s would be written outside the output directory", f.path)
		}
		if _, ok := t[f.path]; ok {
			return fmt.Errorf("%s is generated twice", f.path)
		}
		t[f.path] = f.content
	}
	return nil
}

// addMessage adds a file with the encoding of m.
func (t tree) addMessage(path string, m proto.Message) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err
	}
	return t.add([]generated{{path: path, content: b}})
}

// write writes the files that differ from those below dir. The others keep
// their modification time, so that build tools see no change.
func (t tree) write(dir string) error {
	for _, path := range slices.Sorted(maps.Keys(t)) {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, t[path]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, t[path], 0o644); err != nil {
			return err
		}
		fmt.Println("wrote", file)
	}
	return nil
}

// check compares the files with those below dir.
func (t tree) check(dir string) error {
	var stale []error
	for _, path := range slices.Sorted(maps.Keys(t)) {
		old, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
		switch {
		case err != nil:
			stale = append(stale, err)
		case !bytes.Equal(old, t[path]):
			stale = append(stale, fmt.Errorf("%s is out of date", path))
		}
	}
	return errors.Join(stale...)
}
