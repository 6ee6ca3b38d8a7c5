package status

import "strconv"

// A Code is a gRPC status code, with the numbers of the wire.
type Code uint32

// The codes of the gRPC status code document.
const (
	// OK is returned on success.
	OK Code = 0
	// Canceled means that the operation was cancelled, typically by the caller.
	Canceled Code = 1
	// Unknown is an error that carries no better code.
	Unknown Code = 2
	// InvalidArgument means that the client sent an argument that is wrong
	// whatever the state of the system.
	InvalidArgument Code = 3
	// DeadlineExceeded means that the deadline passed before the end. The
	// operation may have been carried out all the same.
	DeadlineExceeded Code = 4
	// NotFound means that something that was asked for does not exist.
	NotFound Code = 5
	// AlreadyExists means that what was to be made is there already.
	AlreadyExists Code = 6
	// PermissionDenied means that the caller may not do this.
	PermissionDenied Code = 7
	// ResourceExhausted means that a quota or limit was reached.
	ResourceExhausted Code = 8
	// FailedPrecondition means that the system is not in the state that the
	// operation needs; a retry alone does not help.
	FailedPrecondition Code = 9
	// Aborted means that a conflict ended the operation; the client may
	// retry at a higher level.
	Aborted Code = 10
	// OutOfRange means past the valid range, such as reading behind the end.
	OutOfRange Code = 11
	// Unimplemented means that the operation does not exist here.
	Unimplemented Code = 12
	// Internal means that an invariant of the system is broken.
	Internal Code = 13
	// Unavailable means that the service cannot be reached now; a retry may help.
	Unavailable Code = 14
	// DataLoss means loss or corruption that cannot be repaired.
	DataLoss Code = 15
	// Unauthenticated means that valid credentials are missing.
	Unauthenticated Code = 16
)

// maxCode is the largest code that is defined.
const maxCode = Unauthenticated

var codeNames = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
	"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange",
	"Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

// String returns the name as it stands in error texts, such as "NotFound".
func (c Code) String() string {
	if c <= maxCode {
		return codeNames[c]
	}
	return "Code(" + strconv.FormatUint(uint64(c), 10) + ")"
}
