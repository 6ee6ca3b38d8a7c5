package main

import (
	"bytes"
	"flag"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// request returns the request for the compiled files in testdata, to generate
// one of them. testdata/request.binpb comes from the .proto files beside it;
// make generate writes it.
func request(t *testing.T, file, parameter string) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	b, err := os.ReadFile("testdata/request.binpb")
	if err != nil {
		t.Fatal(err)
	}
	req := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(b, req); err != nil {
		t.Fatal(err)
	}
	req.FileToGenerate = []string{file}
	req.Parameter = proto.String(parameter)
	return req
}

// exchange sends req to the program, over its standard input and output.
func exchange(t *testing.T, req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	in, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(nil, bytes.NewReader(in), &out); err != nil {
		t.Fatalf("run: %v", err)
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

// generateOne returns the name and content of the one file that req yields.
func generateOne(t *testing.T, req *pluginpb.CodeGeneratorRequest) (name, content string) {
	t.Helper()
	resp := exchange(t, req)
	if resp.Error != nil {
		t.Fatalf("response has error %q", resp.GetError())
	}
	if len(resp.GetFile()) != 1 {
		t.Fatalf("got %d files, want 1", len(resp.GetFile()))
	}
	return resp.GetFile()[0].GetName(), resp.GetFile()[0].GetContent()
}

func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		golden  string
		file    string
		options string
		want    string // name of the generated file
	}{
		{
			golden:  "library",
			file:    "testdata/library.proto",
			options: "paths=source_relative",
			want:    "testdata/library_strata.pb.go",
		},
		{
			golden:  "library_optional",
			file:    "testdata/library.proto",
			options: "paths=source_relative,require_unimplemented_servers=false",
			want:    "testdata/library_strata.pb.go",
		},
		{
			golden:  "library_suffix",
			file:    "testdata/library.proto",
			options: "package_suffix=strata",
			want:    "example.com/gen/librarypb/librarypbstrata/library_strata.pb.go",
		},
		{
			golden:  "edition",
			file:    "testdata/edition.proto",
			options: "module=example.com/gen",
			want:    "editionpb/edition_strata.pb.go",
		},
		{
			golden:  "legacy",
			file:    "testdata/legacy.proto",
			options: "Mtestdata/legacy.proto=example.com/other/legacypb,module=example.com/other",
			want:    "legacypb/legacy_strata.pb.go",
		},
	} {
		t.Run(tc.golden, func(t *testing.T) {
			name, got := generateOne(t, request(t, tc.file, tc.options))
			if name != tc.want {
				t.Errorf("file is named %q, want %q", name, tc.want)
			}
			path := filepath.Join("testdata", "golden", tc.golden+".go.golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs; rerun with -update and review the diff (-want +got):\n%s", path, diff)
			}
		})
	}
}

// TestImports pins what generated code links: context, package stubs and the
// packages of messages. The message package named info must not be shadowed by
// the local variable of that name.
func TestImports(t *testing.T) {
	for _, tc := range []struct {
		name    string
		file    string
		options string
		want    []string
	}{
		{
			name: "messages of the same package need no import",
			file: "testdata/edition.proto",
			want: []string{
				"context context",
				"stubs github.com/strata-grpc/strata/layer5_stubs",
			},
		},
		{
			name: "messages of other packages are imported",
			file: "testdata/library.proto",
			want: []string{
				"context context",
				"infopb example.com/gen/info",
				"stubs github.com/strata-grpc/strata/layer5_stubs",
				"emptypb google.golang.org/protobuf/types/known/emptypb",
			},
		},
		{
			name:    "a sub-package imports the messages that its parent holds",
			file:    "testdata/edition.proto",
			options: "package_suffix=_x",
			want: []string{
				"context context",
				"editionpb example.com/gen/editionpb",
				"stubs github.com/strata-grpc/strata/layer5_stubs",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, content := generateOne(t, request(t, tc.file, tc.options))
			file, err := parser.ParseFile(token.NewFileSet(), "x.go", content, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, spec := range file.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, spec.Name.Name+" "+path)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("imports differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLocalsAreReserved reads the locals that the golden file declares, so that
// a new one in generated code cannot be forgotten in the table.
func TestLocalsAreReserved(t *testing.T) {
	_, content := generateOne(t, request(t, "testdata/library.proto", ""))
	declared := localNames(t, content)
	if len(declared) == 0 {
		t.Fatal("found no local names in the generated code")
	}
	for _, name := range declared {
		if !locals[name] {
			t.Errorf("generated code declares %q, which locals does not reserve", name)
		}
	}
	for name := range locals {
		if !slices.Contains(declared, name) {
			t.Errorf("locals reserves %q, which generated code does not declare", name)
		}
	}
}

func TestPackageSuffixNamesThePackage(t *testing.T) {
	_, content := generateOne(t, request(t, "testdata/edition.proto", "package_suffix=grpc"))
	if want := "\npackage editionpbgrpc\n"; !strings.Contains(content, want) {
		t.Errorf("generated code lacks %q:\n%s", want, content)
	}
}

func TestFileWithoutServicesYieldsNothing(t *testing.T) {
	resp := exchange(t, request(t, "testdata/info.proto", ""))
	if resp.Error != nil || len(resp.GetFile()) != 0 {
		t.Errorf("got error %q and %d files, want neither", resp.GetError(), len(resp.GetFile()))
	}
}

// TestEditions checks that protoc lets all editions through that the runtime
// knows, and that each of them generates the same services.
func TestEditions(t *testing.T) {
	_, want := generateOne(t, request(t, "testdata/edition.proto", ""))
	for _, edition := range []descriptorpb.Edition{
		descriptorpb.Edition_EDITION_2023,
		descriptorpb.Edition_EDITION_2024,
	} {
		t.Run(edition.String(), func(t *testing.T) {
			req := request(t, "testdata/edition.proto", "")
			for _, fd := range req.GetProtoFile() {
				if fd.GetName() == "testdata/edition.proto" {
					fd.Edition = edition.Enum()
				}
			}
			resp := exchange(t, req)
			if resp.Error != nil {
				t.Fatalf("response has error %q", resp.GetError())
			}
			features := resp.GetSupportedFeatures()
			if features&uint64(pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS) == 0 {
				t.Errorf("supported features %b lack editions", features)
			}
			if e := int32(edition); e < resp.GetMinimumEdition() || e > resp.GetMaximumEdition() {
				t.Errorf("edition %d outside [%d, %d]", e, resp.GetMinimumEdition(), resp.GetMaximumEdition())
			}
			if got := resp.GetFile()[0].GetContent(); got != want {
				t.Errorf("code differs from that of edition 2023:\n%s", cmp.Diff(want, got))
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for _, tc := range []struct {
		name, options, want string
	}{
		{"an unknown option is refused", "colour=red", "colour"},
		{"a value that is no bool is refused", "require_unimplemented_servers=perhaps", "perhaps"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := respond(request(t, "testdata/library.proto", tc.options)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("respond(%q) = %v, want an error that names %q", tc.options, err, tc.want)
			}
		})
	}
	resp := exchange(t, request(t, "testdata/library.proto", "package_suffix=a/b"))
	if want := `package_suffix="a/b"`; !strings.Contains(resp.GetError(), want) {
		t.Errorf("error is %q, want it to name %q", resp.GetError(), want)
	}
}

func TestRunRefusesWhatIsNoRequest(t *testing.T) {
	for _, tc := range []struct {
		name, stdin, want string
	}{
		{"an empty request names no file", "", "no file to generate"},
		{"bytes that are no request", "\xff\xff\xff", "not a CodeGeneratorRequest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := run(nil, strings.NewReader(tc.stdin), io.Discard); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("run = %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestVersionFlag(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-version"}, strings.NewReader(""), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "protoc-gen-go-strata "+version+"\n"; got != want {
		t.Errorf("-version prints %q, want %q", got, want)
	}
}

func TestCompilerVersion(t *testing.T) {
	for _, tc := range []struct {
		version *pluginpb.Version
		want    string
	}{
		{nil, "(unknown)"},
		{&pluginpb.Version{Major: proto.Int32(5), Minor: proto.Int32(28), Patch: proto.Int32(1)}, "v5.28.1"},
		{&pluginpb.Version{Major: proto.Int32(6), Suffix: proto.String("rc1")}, "v6.0.0-rc1"},
	} {
		if got := compilerVersion(tc.version); got != tc.want {
			t.Errorf("compilerVersion(%v) = %q, want %q", tc.version, got, tc.want)
		}
	}
}
