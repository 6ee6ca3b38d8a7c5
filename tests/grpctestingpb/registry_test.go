package grpctestingpb_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	theirs "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// That this test binary starts at all is its first result: it links two
// packages with the files of package grpc.testing, and the protobuf runtime
// stops a program in which both register them globally.

func TestFilesAreThoseOfGRPC(t *testing.T) {
	for _, path := range []string{
		"grpc/testing/empty.proto",
		"grpc/testing/messages.proto",
		"grpc/testing/test.proto",
	} {
		t.Run(path, func(t *testing.T) {
			got, err := grpctestingpb.Files.FindFileByPath(path)
			if err != nil {
				t.Fatal(err)
			}
			want, err := protoregistry.GlobalFiles.FindFileByPath(path)
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				t.Fatal("the private and the global registry hold the same file")
			}
			if diff := cmp.Diff(protodesc.ToFileDescriptorProto(want), protodesc.ToFileDescriptorProto(got), protocmp.Transform()); diff != "" {
				t.Errorf("file differs from that of google.golang.org/grpc (-theirs +ours):\n%s", diff)
			}
			for i := range got.Imports().Len() {
				imported := got.Imports().Get(i)
				private, err := grpctestingpb.Files.FindFileByPath(imported.Path())
				if err != nil {
					t.Fatal(err)
				}
				if imported.FileDescriptor != private {
					t.Errorf("import of %s does not lead to the private file", imported.Path())
				}
			}
		})
	}
}

func TestTypesAreSeparate(t *testing.T) {
	const name = "grpc.testing.SimpleRequest"
	private, err := grpctestingpb.Types.FindMessageByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := private.New().Interface().(*grpctestingpb.SimpleRequest); !ok {
		t.Errorf("the private registry makes a %T, want ours", m)
	}
	global, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := global.New().Interface().(*theirs.SimpleRequest); !ok {
		t.Errorf("the global registry makes a %T, want that of google.golang.org/grpc", m)
	}
}

// TestLookupsFallBackToTheGlobalFiles covers imports of files that this package
// does not hold, such as the well-known types.
func TestLookupsFallBackToTheGlobalFiles(t *testing.T) {
	fd, err := grpctestingpb.Files.FindFileByPath("google/protobuf/descriptor.proto")
	if err != nil {
		t.Fatal(err)
	}
	d, err := grpctestingpb.Files.FindDescriptorByName("google.protobuf.FileDescriptorProto")
	if err != nil {
		t.Fatal(err)
	}
	if d.ParentFile() != fd {
		t.Errorf("FileDescriptorProto is in %s, want %s", d.ParentFile().Path(), fd.Path())
	}
	if _, err := grpctestingpb.Files.FindFileByPath("no/such/file.proto"); err != protoregistry.NotFound {
		t.Errorf("looking up a file that does not exist returns %v, want NotFound", err)
	}
	if _, err := grpctestingpb.Files.FindDescriptorByName("no.such.Name"); err != protoregistry.NotFound {
		t.Errorf("looking up a name that does not exist returns %v, want NotFound", err)
	}
}

// TestRangesOverItsOwnFilesOnly pins what a reflection service would list.
func TestRangesOverItsOwnFilesOnly(t *testing.T) {
	if got := grpctestingpb.Files.NumFiles(); got != 3 {
		t.Errorf("NumFiles() = %d, want 3", got)
	}
}

func TestMessagesTravelBetweenTheTwo(t *testing.T) {
	sent := &grpctestingpb.SimpleRequest{
		ResponseSize:   314159,
		Payload:        &grpctestingpb.Payload{Type: grpctestingpb.PayloadType_COMPRESSABLE, Body: []byte("body")},
		ResponseStatus: &grpctestingpb.EchoStatus{Code: 2, Message: "test status message"},
	}
	b, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	got := new(theirs.SimpleRequest)
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	want := &theirs.SimpleRequest{
		ResponseSize:   314159,
		Payload:        &theirs.Payload{Type: theirs.PayloadType_COMPRESSABLE, Body: []byte("body")},
		ResponseStatus: &theirs.EchoStatus{Code: 2, Message: "test status message"},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("message changed on its way (-want +got):\n%s", diff)
	}
}

func TestServiceNameIsTheTrueOne(t *testing.T) {
	d, err := grpctestingpb.Files.FindDescriptorByName("grpc.testing.TestService")
	if err != nil {
		t.Fatal(err)
	}
	if got := grpctestingpb.TestService_ServiceDesc.ServiceName; got != string(d.FullName()) {
		t.Errorf("ServiceName is %q, want %q", got, d.FullName())
	}
}
