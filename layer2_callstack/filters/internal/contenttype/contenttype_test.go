package contenttype

import "testing"

var rows = []struct {
	in    string
	valid bool
	media string
}{
	{"application/grpc", true, "application/grpc"},
	{"application/grpc+proto", true, "application/grpc+proto"},
	{"application/grpc;charset=utf-8", true, "application/grpc"},
	{"application/grpc+json ; x=y", true, "application/grpc+json"},
	{"APPLICATION/gRPC", true, "APPLICATION/gRPC"},
	{"", false, ""},
	{"application/grp", false, "application/grp"},
	{"application/grpc-web", false, "application/grpc-web"},
	{"application/grpcx", false, "application/grpcx"},
	{"text/html; application/grpc", false, "text/html"},
}

func TestContentType(t *testing.T) {
	for _, tc := range rows {
		if got := Valid(tc.in); got != tc.valid {
			t.Errorf("Valid(%q) = %v, want %v", tc.in, got, tc.valid)
		}
		if got := Media(tc.in); got != tc.media {
			t.Errorf("Media(%q) = %q, want %q", tc.in, got, tc.media)
		}
	}
}
