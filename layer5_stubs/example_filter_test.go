package stubs_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	"github.com/strata-grpc/strata/layer1_transport/metadata"
	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/calllog"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/layer5_stubs/internal/testpb"
)

// A filter logs each call of a client: one line, with the method, the status code,
// the time and the bytes of the messages in both directions.
func ExampleWithChannelFilter() {
	s, target := serveExample()
	defer s.Stop()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{} // which no two runs have in common
		}
		return a
	}}))
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithChannelFilter(stubs.ExtraFilter{Filter: calllog.New(calllog.Config{Logger: logger, Level: slog.LevelInfo})}))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	client := testpb.NewTestClient(cc)

	for _, req := range []*testpb.Request{{Text: "hello"}, {Code: int32(status.NotFound), Text: "no such thing"}} {
		if _, err := client.Unary(ctx, req); err != nil {
			fmt.Println(err)
		}
	}
	stream, err := client.ServerStream(ctx, &testpb.Request{Text: "again", Responses: 3})
	if err != nil {
		log.Fatal(err)
	}
	for range stubs.Messages(stream) {
	}
	// Output:
	// level=INFO msg=call method=/strata.test.Test/Unary code=OK sent=7 received=9
	// level=INFO msg=call method=/strata.test.Test/Unary code=NotFound sent=17 received=0
	// rpc error: code = NotFound desc = no such thing
	// level=INFO msg=call method=/strata.test.Test/ServerStream code=OK sent=9 received=27
}

// tenant is a filter's part of a call: it adds a field to the request.
type tenant struct{ callstack.CallBase }

func (c *tenant) StartBatch(b *transport.StreamOpBatch) {
	if b.Ops.Has(transport.OpSendInitialMetadata) {
		b.SendInitialMetadata.MD.Append("x-tenant", "gold")
	}
	c.Next.StartBatch(b)
}

// A filter of one's own, on a client. A filter with options, for both directions
// and with tests, to be copied, is layer2_callstack/filters/template.
func ExampleWithFilter() {
	s, target := serveExample(stubs.UnaryInterceptor(printTenant))
	defer s.Stop()
	filter := callstack.NewFilter("tenant", func(next callstack.CallElem) callstack.CallElem {
		return &tenant{callstack.CallBase{Next: next}}
	})
	cc, err := stubs.NewClient(target, stubs.WithTransportCredentials(credentials.NewInsecure()),
		stubs.WithFilter(stubs.ExtraFilter{Filter: filter, After: []string{"authority"}}))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := exampleContext()
	defer cancel()
	if _, err := testpb.NewTestClient(cc).Unary(ctx, new(testpb.Request)); err != nil {
		log.Fatal(err)
	}
	// Output: a call of tenant [gold]
}

// printTenant is an interceptor of the server that the examples call.
func printTenant(ctx context.Context, req any, _ *stubs.UnaryServerInfo, handler stubs.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	fmt.Println("a call of tenant", md.Get("x-tenant"))
	return handler(ctx, req)
}
