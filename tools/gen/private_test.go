package main

import (
	"strings"
	"testing"
)

// builder is the part of message code that privatise rewrites.
const builder = `package apb

func file_a_proto_init() {
	out := protoimpl.TypeBuilder{
		File: protoimpl.DescBuilder{
			NumEnums: 0,
		},
		GoTypes: file_a_proto_goTypes,
	}.Build()
}
`

func TestPrivatise(t *testing.T) {
	got, err := privatise([]generated{{path: "x/apb/a.pb.go", content: []byte(builder)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("privatise returns %d files, want 2", len(got))
	}
	const want = `package apb

func file_a_proto_init() {
	out := protoimpl.TypeBuilder{
		TypeRegistry: Types,
		File: protoimpl.DescBuilder{
			FileRegistry: Files,
			NumEnums:     0,
		},
		GoTypes: file_a_proto_goTypes,
	}.Build()
}
`
	if string(got[0].content) != want {
		t.Errorf("code is\n%s\nwant\n%s", got[0].content, want)
	}
	if got[1].path != "x/apb/registry.pb.go" {
		t.Errorf("registries are in %q, want x/apb/registry.pb.go", got[1].path)
	}
	if !strings.Contains(string(got[1].content), "\npackage apb\n") {
		t.Errorf("registries are not in package apb:\n%s", got[1].content)
	}
}

func TestPrivatiseRefuses(t *testing.T) {
	a := generated{path: "apb/a.pb.go", content: []byte(builder)}
	for _, tc := range []struct {
		name  string
		files []generated
		want  string
	}{
		{
			name:  "code without a builder",
			files: []generated{{path: "apb/a.pb.go", content: []byte("package apb\n")}},
			want:  "found 0",
		},
		{
			name:  "code with two builders",
			files: []generated{{path: "apb/a.pb.go", content: []byte(builder + strings.TrimPrefix(builder, "package apb"))}},
			want:  "found 2",
		},
		{
			name:  "files of two directories",
			files: []generated{a, {path: "bpb/b.pb.go", content: []byte(builder)}},
			want:  "share one package",
		},
		{
			name:  "files of two packages",
			files: []generated{a, {path: "apb/b.pb.go", content: []byte(strings.Replace(builder, "apb", "bpb", 1))}},
			want:  "share one package",
		},
		{
			name:  "a file that is no Go code",
			files: []generated{{path: "apb/a.pb.go", content: []byte("no code")}},
			want:  "expected 'package'",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := privatise(tc.files); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("privatise = %v, want an error that contains %q", err, tc.want)
			}
		})
	}
}

func TestPrivatiseNothing(t *testing.T) {
	if got, err := privatise(nil); err != nil || len(got) != 0 {
		t.Errorf("privatise(nil) = %v, %v, want no files", got, err)
	}
}
