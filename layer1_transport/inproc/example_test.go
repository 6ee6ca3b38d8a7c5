package inproc_test

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/inproc"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
)

// An owner never lets its stream be used again.
type owner struct{}

func (owner) Ref()   {}
func (owner) Unref() {}

// done lets a function be told of the end of an operation.
type done func(err error)

func (d done) Run(err error) { d(err) }

// refuseAll answers every call with a status.
type refuseAll struct{}

func (refuseAll) AcceptStream(t transport.Transport, accepted transport.Accepted) {
	stream := t.NewStream()
	stream.Init(owner{}, accepted)
	trailers := new(metadata.List)
	trailers.SetStatus(uint32(status.Unimplemented), "nobody is at home")
	stream.PerformBatch(&transport.StreamOpBatch{
		Ops:                  transport.OpSendTrailingMetadata,
		OnComplete:           done(func(error) {}),
		SendTrailingMetadata: transport.SendTrailingMetadata{MD: trailers},
	})
}

func ExamplePair() {
	client, server := inproc.Pair(inproc.Config{})
	defer client.Close()
	server.PerformOp(&transport.Op{Accept: refuseAll{}})

	headers := &metadata.List{Known: metadata.Known{Path: "/greeter/Hello"}}
	trailers := new(metadata.List)
	call := client.NewStream()
	call.Init(owner{}, nil)
	call.PerformBatch(&transport.StreamOpBatch{
		Ops:                 transport.OpSendInitialMetadata | transport.OpRecvTrailingMetadata,
		OnComplete:          done(func(err error) { fmt.Println("sent:", err) }),
		SendInitialMetadata: transport.SendInitialMetadata{MD: headers},
		RecvTrailingMetadata: transport.RecvTrailingMetadata{MD: trailers, Ready: done(func(err error) {
			fmt.Println("ended:", status.Code(trailers.Status), trailers.Message, err)
		})},
	})
	// Output:
	// sent: <nil>
	// ended: Unimplemented nobody is at home <nil>
}
