package consumer

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// generate runs a protoc plugin on a .proto file of testdata/hello, as protoc
// would, and writes what it returns below dir.
func generate(t *testing.T, plugin, protoFile, dir, options string) {
	t.Helper()
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{"testdata/hello"}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(t.Context(), protoFile)
	if err != nil {
		t.Fatal(err)
	}
	req, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{protoFile},
		Parameter:      proto.String(options),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(compiled[0])},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), plugin)
	cmd.Stdin = bytes.NewReader(req)
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(output(t, cmd), resp); err != nil {
		t.Fatalf("%s: %v", plugin, err)
	}
	if resp.Error != nil {
		t.Fatalf("%s: %s", plugin, resp.GetError())
	}
	if len(resp.GetFile()) != 1 {
		t.Fatalf("%s returned %d files, want 1", plugin, len(resp.GetFile()))
	}
	for _, f := range resp.GetFile() {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(f.GetName())), []byte(f.GetContent()))
	}
}
