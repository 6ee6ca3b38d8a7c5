package surface

import (
	"strconv"
	"strings"

	transport "github.com/strata-grpc/strata/layer1_transport"
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

	// SendMetadata holds the pairs to send. Only its pairs are used, and they
	// are copied. Nil is none.
	SendMetadata *metadata.List

	// RecvMetadata is where received pairs go. Nil drops them.
	RecvMetadata *metadata.List

	// Message is what to send. Its reference passes to the call if StartBatch
	// returns CallOK and stays with the caller if not.
	Message *transport.Buffer

	// RecvMessage is where the received message goes, with its reference.
	RecvMessage **transport.Buffer

	// Status is what the server answers. Nil is OK.
	Status *status.Status

	// StatusResult is where the end of the call is described. May be nil.
	StatusResult *CallStatus

	// Cancelled is set to whether the call ended otherwise than by the
	// server's status reaching the client. May be nil.
	Cancelled *bool
}

// opFlags are the flags that each operation knows.
var opFlags = [opTypes]uint32{
	SendInitialMetadata: transport.FlagWaitForReady | transport.FlagWaitForReadyExplicitlySet |
		transport.FlagCorked | transport.FlagWriteThrough,
	SendMessage: transport.FlagBufferHint | transport.FlagNoCompress | transport.FlagWriteThrough,
}

// opNamesOf lists the types of ops, for traces.
func opNamesOf(ops []Op) string {
	names := make([]string, len(ops))
	for i := range ops {
		names[i] = ops[i].Type.String()
	}
	return strings.Join(names, " ")
}
