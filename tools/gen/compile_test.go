package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/descriptorpb"
)

func TestCompileOrdersImportsFirst(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(a, "main.proto"), `syntax = "proto3";
		import "other/side.proto";
		import "google/protobuf/any.proto";
		message Main { Side side = 1; google.protobuf.Any any = 2; }`)
	writeFile(t, filepath.Join(b, "side.proto"), `syntax = "proto3";
		import "google/protobuf/any.proto";
		message Side { google.protobuf.Any any = 1; }`)

	inc := includes{{dir: a}, {virtual: "other", dir: b}}
	req, err := compile(t.Context(), inc, []string{"main.proto"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range req.GetProtoFile() {
		got = append(got, f.GetName())
	}
	want := []string{"google/protobuf/any.proto", "other/side.proto", "main.proto"}
	if !slices.Equal(got, want) {
		t.Errorf("files are %q, want %q", got, want)
	}
	if got := req.GetFileToGenerate(); !slices.Equal(got, []string{"main.proto"}) {
		t.Errorf("files to generate are %q, want main.proto only", got)
	}
}

func TestCompileKeepsCommentsAndEdition(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.proto"), `edition = "2023";
		// What M is for.
		message M {}`)
	req, err := compile(t.Context(), includes{{dir: dir}}, []string{"a.proto"})
	if err != nil {
		t.Fatal(err)
	}
	file := req.GetProtoFile()[0]
	if got := file.GetEdition(); got != descriptorpb.Edition_EDITION_2023 {
		t.Errorf("edition is %v, want 2023", got)
	}
	var comments []string
	for _, loc := range file.GetSourceCodeInfo().GetLocation() {
		if c := loc.GetLeadingComments(); c != "" {
			comments = append(comments, c)
		}
	}
	if want := []string{" What M is for.\n"}; !slices.Equal(comments, want) {
		t.Errorf("comments are %q, want %q", comments, want)
	}
}

// TestCompileReportsEveryError wants positions, and all that is wrong at once.
func TestCompileReportsEveryError(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "a.proto"), "syntax = \"proto3\";\nmessage M {\n  Missing a = 1;\n  Absent b = 2;\n}\n")
	_, err := compile(t.Context(), includes{{dir: dir}}, []string{"a.proto"})
	for _, want := range []string{"a.proto:3:3", "Missing", "a.proto:4:3", "Absent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("compile = %v, want an error that contains %q", err, want)
		}
	}
}

func TestIncludesSet(t *testing.T) {
	for _, tc := range []struct {
		flag string
		want include
	}{
		{"dir", include{dir: "dir"}},
		{"grpc/testing=dir", include{virtual: "grpc/testing", dir: "dir"}},
		{"a/=dir", include{virtual: "a", dir: "dir"}},
	} {
		var inc includes
		if err := inc.Set(tc.flag); err != nil {
			t.Errorf("Set(%q) = %v", tc.flag, err)
			continue
		}
		if inc[0] != tc.want {
			t.Errorf("Set(%q) adds %+v, want %+v", tc.flag, inc[0], tc.want)
		}
	}
}

func TestOpenStaysInside(t *testing.T) {
	inc := includes{{dir: t.TempDir()}}
	for _, path := range []string{"../a.proto", "/a.proto", "a/../../b.proto", ""} {
		if f, err := inc.open(path); err == nil {
			f.Close()
			t.Errorf("open(%q) succeeds, want an error", path)
		}
	}
}
