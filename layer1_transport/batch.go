package transport

import (
	"strings"
	"sync/atomic"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/peer"
	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A StreamOpBatch is a set of operations on one stream that are started
// together: gRPC core's transport_stream_op_batch. It travels down the call
// stack, filter by filter, to the transport; the callbacks travel back up.
//
// A filter that wants to see a result replaces the callback by its own before
// it passes the batch on, and runs the original one afterwards.
type StreamOpBatch struct {
	// Ops says which of the payloads below are in use.
	Ops OpSet

	// Cause is the trace event that led to this batch, 0 without tracing.
	Cause trace.EventID

	// OnComplete runs once when all send operations of the batch are done. It
	// is nil exactly when the batch has none.
	OnComplete Done

	SendInitialMetadata  SendInitialMetadata
	SendMessage          SendMessage
	SendTrailingMetadata SendTrailingMetadata
	RecvInitialMetadata  RecvInitialMetadata
	RecvMessage          RecvMessage
	RecvTrailingMetadata RecvTrailingMetadata

	// CancelErr is why the stream is to be cancelled, with OpCancelStream.
	// A batch that cancels is passed on by every filter. The first cancel
	// counts; later ones and those after the end do nothing.
	CancelErr error
}

// SendInitialMetadata sends the headers and, on the client, begins the stream.
// Done when flow control and the concurrency limit of the peer let it through.
type SendInitialMetadata struct {
	MD    *metadata.List // read until done
	Flags uint32

	// Peer is set by the transport when it begins the stream. May be nil.
	Peer *PeerSlot
}

// SendMessage sends one message. Done when all of its bytes passed flow
// control and were given to the writer, not when the peer has them.
type SendMessage struct {
	// Buf is the message without its prefix. Its reference passes to the
	// transport, also when the operation fails.
	Buf   *Buffer
	Flags uint32

	// WriteClosed is set by the transport before OnComplete when the message
	// was dropped because the peer has ended the stream: the call's real
	// status is still to come, so this is no reason to cancel.
	WriteClosed bool
}

// SendTrailingMetadata ends the sending side. On the client it is the
// half-close and MD is empty; on the server MD carries the status, and the
// transport may fill in or clear the fields of HTTP.
type SendTrailingMetadata struct {
	MD *metadata.List // read until done

	// Sent is set by the transport when the trailers were really sent, which
	// on a server decides whether the call counts as cancelled. May be nil.
	Sent *atomic.Bool
}

// RecvInitialMetadata receives the headers of the peer.
type RecvInitialMetadata struct {
	// MD is filled before Ready runs. It stays empty for Trailers-Only.
	MD *metadata.List

	// TrailersOnly is set when the stream ended without headers of its own.
	TrailersOnly bool

	// Peer is set by the transport before Ready runs. May be nil.
	Peer *PeerSlot

	Ready Done
}

// RecvMessage receives one message.
type RecvMessage struct {
	// Limit is the longest message that is wanted, in bytes. 0 leaves it to
	// the message_size filter of layer 2; where it gets to the transport, 0 or
	// less is no limit. A longer message is refused with RESOURCE_EXHAUSTED when
	// its five-byte prefix arrives, before any of it is read or credited.
	Limit int
	// LimitName says in that error who sets the limit, such as "server option
	// MaxRecvMsgSize". Empty says nothing.
	LimitName string

	// Only says that the stream must not carry another message, as on the
	// response side of a unary call. One that arrives fails the stream with
	// UNIMPLEMENTED, the code that the gRPC status code document has for a
	// violated cardinality.
	Only bool

	// Message is set before Ready runs and its reference passes to the
	// caller. Nil without an error means that no further message comes.
	Message *Buffer

	Ready Done
}

// RecvTrailingMetadata learns the end of the stream. Ready runs last of all
// callbacks of the stream's receiving side.
type RecvTrailingMetadata struct {
	// MD is filled with the trailers before Ready runs. Where the peer sent
	// a status it is in MD; where the stream ended otherwise MD has none and
	// Ready's error says why.
	MD *metadata.List

	Ready Done
}

// A PeerSlot holds the peer of a call once it is known.
type PeerSlot = atomic.Pointer[peer.Peer]

// Flags of SendInitialMetadata and SendMessage, the values of grpc_types.h, and
// some of our own.
const (
	// FlagBufferHint on a message: more follows, so there is no hurry. The
	// operation completes, and the bytes, with those of headers in the same
	// batch, may wait until something without the flag is sent or the sending
	// side ends. A transport bounds how many wait and for how long.
	FlagBufferHint uint32 = 0x1
	// FlagNoCompress on a message: send it as it is.
	FlagNoCompress uint32 = 0x2
	// FlagWriteThrough on headers or a message: write them at once, and what
	// waits. It overrides FlagBufferHint and FlagCorked.
	FlagWriteThrough uint32 = 0x4
	// FlagWaitForReady on initial metadata: queue the call while the channel
	// cannot connect, instead of failing it.
	FlagWaitForReady uint32 = 0x20
	// FlagWaitForReadyExplicitlySet: the application chose, so service config does not.
	FlagWaitForReadyExplicitlySet uint32 = 0x80
	// FlagOnlyMessage on a receive of a message: see RecvMessage.Only.
	FlagOnlyMessage uint32 = 0x1000
	// FlagUnframed on a message of a server: send its bytes, of which there is
	// at least one, as they are and without a prefix. It is for an answer that
	// HTTP clients can read, to a request that is not gRPC's.
	FlagUnframed uint32 = 0x2000
	// FlagCorked on initial metadata: a message or the end of the sending side
	// follows at once, so the headers may wait for it as with FlagBufferHint.
	FlagCorked uint32 = 0x100
)

// An OpSet is a set of stream operations.
type OpSet uint8

// The stream operations.
const (
	OpSendInitialMetadata OpSet = 1 << iota
	OpSendMessage
	OpSendTrailingMetadata
	OpRecvInitialMetadata
	OpRecvMessage
	OpRecvTrailingMetadata
	OpCancelStream

	// OpsSend are the operations that OnComplete counts.
	OpsSend = OpSendInitialMetadata | OpSendMessage | OpSendTrailingMetadata
	// OpsRecv are the operations with a callback of their own.
	OpsRecv = OpRecvInitialMetadata | OpRecvMessage | OpRecvTrailingMetadata
)

var opNames = [...]string{
	"send_initial_metadata", "send_message", "send_trailing_metadata",
	"recv_initial_metadata", "recv_message", "recv_trailing_metadata", "cancel_stream",
}

// Has reports whether s and other share an operation.
func (s OpSet) Has(other OpSet) bool { return s&other != 0 }

// String lists the operations by their names in gRPC core.
func (s OpSet) String() string {
	var names []string
	for i, name := range opNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// Fail ends every operation of b with err, in the order of gRPC core:
// recv_initial_metadata, recv_message, recv_trailing_metadata, then
// on_complete. A message that was to be sent is released. Caller holds no lock.
func (b *StreamOpBatch) Fail(err error) {
	ops, onComplete := b.Ops, b.OnComplete
	rim, rm, rtm := b.RecvInitialMetadata.Ready, b.RecvMessage.Ready, b.RecvTrailingMetadata.Ready
	if ops.Has(OpSendMessage) {
		b.SendMessage.Buf.Release()
		b.SendMessage.Buf = nil
	}
	// Each callback may end its owner's last use of b, so b is not read again.
	if ops.Has(OpRecvInitialMetadata) {
		rim.Run(err)
	}
	if ops.Has(OpRecvMessage) {
		rm.Run(err)
	}
	if ops.Has(OpRecvTrailingMetadata) {
		rtm.Run(err)
	}
	if ops.Has(OpsSend) {
		onComplete.Run(err)
	}
}
