package surface

import (
	"fmt"
	"strconv"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An OpType says what an [Op] does. The values are those of grpc_op_type.
type OpType uint8

// The eight operations of a call.
const (
	// SendInitialMetadata sends the headers; on a client it begins the call.
	// Once in a call. Uses SendMetadata and Flags.
	SendInitialMetadata OpType = iota
	// SendMessage sends one message, one at a time. Uses Message and Flags.
	// It completes when the message has passed flow control, which does not
	// mean that the peer has it. It fails without ending the call when the
	// peer has ended the call: the status is still to come.
	SendMessage
	// SendCloseFromClient says that the client sends no more. Once, clients only.
	SendCloseFromClient
	// SendStatusFromServer ends the call. Once, servers only. Uses Status and,
	// for trailers, SendMetadata. Without SendInitialMetadata before it the
	// response is a gRPC-HTTP2 Trailers-Only.
	SendStatusFromServer
	// RecvInitialMetadata receives the server's headers. Once, clients only: a
	// server gets the client's with the request. Uses RecvMetadata.
	RecvInitialMetadata
	// RecvMessage receives one message, one at a time. Uses RecvMessage. It
	// completes with nil when there is no further message.
	RecvMessage
	// RecvStatusOnClient learns the end of the call. Once, clients only; it
	// always succeeds and comes last. Uses StatusResult and, for trailers,
	// RecvMetadata.
	RecvStatusOnClient
	// RecvCloseOnServer learns the end of the call. Once, servers only; it
	// always succeeds. Uses Cancelled and, for the reason, StatusResult.
	RecvCloseOnServer

	opTypes = iota
)

var opNames = [opTypes]string{
	"send_initial_metadata", "send_message", "send_close_from_client", "send_status_from_server",
	"recv_initial_metadata", "recv_message", "recv_status_on_client", "recv_close_on_server",
}

// String returns the name of the operation as gRPC core writes it.
func (t OpType) String() string {
	if t < opTypes {
		return opNames[t]
	}
	return "OpType(" + strconv.Itoa(int(t)) + ")"
}

// An Op is one operation of a batch. Fields that its type does not use are
// ignored. The array of ops may be reused as soon as StartBatch has returned;
// what Recv… fields point to belongs to the call until the batch's event, and
// is filled by then.
type Op struct {
	Type OpType

	// Flags are transport.Flag… values.
	Flags uint32

	// SendMetadata holds the pairs to send, which are copied; those that the
	// layers below write themselves, such as te and grpc-timeout, are left out.
	// With SendInitialMetadata its field Encoding names the coding of the messages
	// that are sent, as gRPC core's key grpc-internal-encoding-request does; empty
	// is that of the channel or server. Nothing else is used. Nil is none.
	SendMetadata *metadata.List

	// RecvMetadata is where received pairs go. Nil drops them.
	RecvMetadata *metadata.List

	// TrailersOnly is set to whether the call ended without headers of its
	// own, with RecvInitialMetadata. May be nil.
	TrailersOnly *bool

	// Message is what to send. Its reference passes to the call if StartBatch
	// returns CallOK and stays with the caller if not.
	Message *transport.Buffer

	// RecvMessage is where the received message goes, with its reference.
	RecvMessage **transport.Buffer

	// Limit is the longest message to receive, in bytes. 0 means the limit of
	// the channel or server, less means none.
	Limit int

	// Status is what the server answers. Nil is OK.
	Status *status.Status

	// StatusResult is where the end of the call is described. May be nil.
	StatusResult *CallStatus

	// Cancelled is set to whether the call ended otherwise than by the
	// server's status reaching the client. May be nil.
	Cancelled *bool
}

// opNamesOf lists the types of ops, for traces.
func opNamesOf(ops []Op) string {
	names := make([]string, len(ops))
	for i := range ops {
		names[i] = ops[i].Type.String()
	}
	return strings.Join(names, " ")
}

// CheckMetadata reports why the pairs of l may not be sent, naming the key and
// never the value. It is the check behind [CallErrorInvalidMetadata], that of
// gRPC-HTTP2 Custom-Metadata:
//
//   - a key is one or more of 0-9 a-z _ - . and so does not begin with a colon;
//   - a value is printable ASCII, or any bytes if the key ends in "-bin".
func CheckMetadata(l *metadata.List) error {
	if l == nil {
		return nil
	}
	for _, p := range l.Pairs() {
		if !coding.ValidMetadataKey(p.Key) {
			return fmt.Errorf("surface: metadata key %q is empty or holds something other than 0-9, a-z, hyphen, underscore and dot", p.Key)
		}
		if !validValue(p) {
			return fmt.Errorf("surface: the value of metadata key %q is not printable ASCII, and the key does not end in \"-bin\"", p.Key)
		}
	}
	return nil
}

// legal reports whether CheckMetadata finds no fault, without building an error.
func legal(l *metadata.List) bool {
	for _, p := range l.Pairs() {
		if !coding.ValidMetadataKey(p.Key) || !validValue(p) {
			return false
		}
	}
	return true
}

// validValue reports whether the value of p may be sent. gRPC-HTTP2 ASCII-Value.
func validValue(p metadata.Pair) bool {
	return coding.ValidMetadataValue(p.Value) || strings.HasSuffix(p.Key, "-bin")
}

// appendPairs copies the application's pairs into the list that travels.
// Those that the layers below write themselves are left out: an application
// has them when it passes on all the headers that it was sent.
func appendPairs(to, from *metadata.List) {
	if from == nil {
		return
	}
	for _, p := range from.Pairs() {
		if !coding.IsReserved(p.Key) && p.Key != "grpclb-client-stats" {
			to.Append(p.Key, p.Value)
		}
	}
}

// A CallError is why an operation was refused: gRPC core's grpc_call_error,
// with its values. A refused batch has started nothing, posts no tag and
// leaves the call as it was.
type CallError uint8

// The call errors. The gaps are values of gRPC core that nothing returns any
// more; values from 64 on are ours.
const (
	// CallOK: the operation was accepted.
	CallOK CallError = 0
	// CallErrorFailed: it is not allowed here, or something that is needed is
	// missing, and no other error says why.
	CallErrorFailed CallError = 1
	// CallErrorNotOnServer: the operation is one of clients only.
	CallErrorNotOnServer CallError = 2
	// CallErrorNotOnClient: the operation is one of servers only.
	CallErrorNotOnClient CallError = 3
	// CallErrorAlreadyInvoked: it has to come before send_initial_metadata.
	CallErrorAlreadyInvoked CallError = 5
	// CallErrorTooManyOperations: the operation is allowed once in a call, or
	// once at a time, or stands in the batch twice.
	CallErrorTooManyOperations CallError = 8
	// CallErrorInvalidFlags: the operation does not know one of the flags.
	CallErrorInvalidFlags CallError = 9
	// CallErrorInvalidMetadata: a key or a value cannot travel; [CheckMetadata]
	// says which.
	CallErrorInvalidMetadata CallError = 10
	// CallErrorInvalidMessage: there is no message to send, or no place for the
	// one to receive.
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

// callErrorTexts are the symbols of gRPC core, and what they mean to a reader
// who has nothing but the text of the error.
var callErrorTexts = map[CallError]struct{ symbol, meaning string }{
	CallOK:                            {"GRPC_CALL_OK", "it is no error"},
	CallErrorFailed:                   {"GRPC_CALL_ERROR", "not allowed here, or something that is needed is missing"},
	CallErrorNotOnServer:              {"GRPC_CALL_ERROR_NOT_ON_SERVER", "only the call of a client can do that"},
	CallErrorNotOnClient:              {"GRPC_CALL_ERROR_NOT_ON_CLIENT", "only the call of a server can do that"},
	CallErrorAlreadyInvoked:           {"GRPC_CALL_ERROR_ALREADY_INVOKED", "it has to come before send_initial_metadata is started"},
	CallErrorTooManyOperations:        {"GRPC_CALL_ERROR_TOO_MANY_OPERATIONS", "an operation is in the batch twice, is under way, or was done and is allowed once"},
	CallErrorInvalidFlags:             {"GRPC_CALL_ERROR_INVALID_FLAGS", "an operation does not know one of its flags"},
	CallErrorInvalidMetadata:          {"GRPC_CALL_ERROR_INVALID_METADATA", "a key or a value cannot travel; CheckMetadata says which"},
	CallErrorInvalidMessage:           {"GRPC_CALL_ERROR_INVALID_MESSAGE", "there is no message to send, or no place for the one to receive"},
	CallErrorNotServerCompletionQueue: {"GRPC_CALL_ERROR_NOT_SERVER_COMPLETION_QUEUE", "the queue was not given to RegisterCompletionQueue"},
	CallErrorPayloadTypeMismatch:      {"GRPC_CALL_ERROR_PAYLOAD_TYPE_MISMATCH", "WantPayload is not what the method was registered with"},
	CallErrorCompletionQueueShutdown:  {"GRPC_CALL_ERROR_COMPLETION_QUEUE_SHUTDOWN", "the queue has shut down"},
	CallErrorReleased:                 {"STRATA_CALL_ERROR_RELEASED", "the handle was released, or never belonged to a call"},
}

// String returns gRPC core's symbol for e.
func (e CallError) String() string {
	if text, ok := callErrorTexts[e]; ok {
		return text.symbol
	}
	return "CallError(" + strconv.Itoa(int(e)) + ")"
}

// Error returns "surface: ", the symbol and what it means. CallOK is not an
// error; whoever turns a result into an error uses [CallError.Err].
func (e CallError) Error() string {
	if text, ok := callErrorTexts[e]; ok {
		return "surface: " + text.symbol + ": " + text.meaning
	}
	return "surface: " + e.String()
}

// Err returns e as an error, nil for CallOK.
func (e CallError) Err() error {
	if e == CallOK {
		return nil
	}
	return e
}
