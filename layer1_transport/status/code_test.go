package status

import "testing"

// TestCodes is the list of the gRPC status code document. The names are those
// that error texts have always had in Go; alerts match them.
func TestCodes(t *testing.T) {
	for _, tc := range []struct {
		code   Code
		number uint32
		name   string
	}{
		{OK, 0, "OK"},
		{Canceled, 1, "Canceled"},
		{Unknown, 2, "Unknown"},
		{InvalidArgument, 3, "InvalidArgument"},
		{DeadlineExceeded, 4, "DeadlineExceeded"},
		{NotFound, 5, "NotFound"},
		{AlreadyExists, 6, "AlreadyExists"},
		{PermissionDenied, 7, "PermissionDenied"},
		{ResourceExhausted, 8, "ResourceExhausted"},
		{FailedPrecondition, 9, "FailedPrecondition"},
		{Aborted, 10, "Aborted"},
		{OutOfRange, 11, "OutOfRange"},
		{Unimplemented, 12, "Unimplemented"},
		{Internal, 13, "Internal"},
		{Unavailable, 14, "Unavailable"},
		{DataLoss, 15, "DataLoss"},
		{Unauthenticated, 16, "Unauthenticated"},
		{17, 17, "Code(17)"},
		{1<<32 - 1, 1<<32 - 1, "Code(4294967295)"},
	} {
		if uint32(tc.code) != tc.number || tc.code.String() != tc.name {
			t.Errorf("code %d is %d %q, want %q", tc.number, uint32(tc.code), tc.code, tc.name)
		}
	}
}
