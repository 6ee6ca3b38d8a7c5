package surface

import "strconv"

// A CallError is why an operation was refused: gRPC core's grpc_call_error,
// with its values. A refused batch has started nothing, posts no tag and
// leaves the call as it was.
type CallError uint8

// The call errors. The gaps are values of gRPC core that nothing returns any
// more; values from 64 on are ours.
const (
	// CallOK: the operation was accepted.
	CallOK CallError = 0
	// CallErrorFailed: the combination is not allowed, and no other error says why.
	CallErrorFailed CallError = 1
	// CallErrorNotOnServer: the operation is one of clients only.
	CallErrorNotOnServer CallError = 2
	// CallErrorNotOnClient: the operation is one of servers only.
	CallErrorNotOnClient CallError = 3
	// CallErrorTooManyOperations: the operation is allowed once in a call, or
	// once at a time, or stands in the batch twice.
	CallErrorTooManyOperations CallError = 8
	// CallErrorInvalidFlags: the operation does not know one of the flags.
	CallErrorInvalidFlags CallError = 9
	// CallErrorInvalidMetadata: a key or a value cannot travel; [CheckMetadata]
	// says which.
	CallErrorInvalidMetadata CallError = 10
	// CallErrorInvalidMessage: there is no message to send.
	CallErrorInvalidMessage CallError = 11
	// CallErrorNotServerCompletionQueue: the queue was not given to
	// [Server.RegisterCompletionQueue].
	CallErrorNotServerCompletionQueue CallError = 12
	// CallErrorPayloadTypeMismatch: the request wants a payload and the method
	// does not read one, or the other way round.
	CallErrorPayloadTypeMismatch CallError = 14
	// CallErrorCompletionQueueShutdown: the queue has shut down.
	CallErrorCompletionQueueShutdown CallError = 15
	// CallErrorReleased: the handle was used after Release. gRPC core has no
	// such error, since there the pointer would dangle.
	CallErrorReleased CallError = 64
)

// callErrorNames are the symbols of gRPC core.
var callErrorNames = map[CallError]string{
	CallOK:                            "GRPC_CALL_OK",
	CallErrorFailed:                   "GRPC_CALL_ERROR",
	CallErrorNotOnServer:              "GRPC_CALL_ERROR_NOT_ON_SERVER",
	CallErrorNotOnClient:              "GRPC_CALL_ERROR_NOT_ON_CLIENT",
	CallErrorTooManyOperations:        "GRPC_CALL_ERROR_TOO_MANY_OPERATIONS",
	CallErrorInvalidFlags:             "GRPC_CALL_ERROR_INVALID_FLAGS",
	CallErrorInvalidMetadata:          "GRPC_CALL_ERROR_INVALID_METADATA",
	CallErrorInvalidMessage:           "GRPC_CALL_ERROR_INVALID_MESSAGE",
	CallErrorNotServerCompletionQueue: "GRPC_CALL_ERROR_NOT_SERVER_COMPLETION_QUEUE",
	CallErrorPayloadTypeMismatch:      "GRPC_CALL_ERROR_PAYLOAD_TYPE_MISMATCH",
	CallErrorCompletionQueueShutdown:  "GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN",
	CallErrorReleased:                 "STRATA_CALL_ERROR_RELEASED",
}

// String returns gRPC core's symbol for e.
func (e CallError) String() string {
	if name, ok := callErrorNames[e]; ok {
		return name
	}
	return "CallError(" + strconv.Itoa(int(e)) + ")"
}

// Error returns "surface: " and the symbol. CallOK is not an error; whoever
// turns a result into an error uses [CallError.Err].
func (e CallError) Error() string { return "surface: " + e.String() }

// Err returns e as an error, nil for CallOK.
func (e CallError) Err() error {
	if e == CallOK {
		return nil
	}
	return e
}
