package stubs

import (
	"context"
	"net"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/strata-grpc/strata/layer1_transport/credentials"
)

// TestAnswerOvertakesHeaders: the handler leaves the call as a goroutine in
// SendHeader does that has taken the headers and not sent them yet. The answer
// goes out all the same.
func TestAnswerOvertakesHeaders(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer()
	s.RegisterService(&ServiceDesc{ServiceName: "a.B", Methods: []MethodDesc{{MethodName: "C",
		Handler: func(_ any, ctx context.Context, _ func(any) error, _ UnaryServerInterceptor) (any, error) {
			c, err := handlerOf(ctx)
			if err == nil {
				_, _, _, err = c.takeHeader("SendHeader")
			}
			return &emptypb.Empty{}, err
		}}}}, nil)
	go s.Serve(lis)
	defer s.Stop()
	cc, err := NewClient(lis.Addr().String(), WithTransportCredentials(credentials.NewInsecure()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := cc.Invoke(ctx, "/a.B/C", &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
		t.Error(err)
	}
}

// TestServerCallStaysSmall: an open call that waits costs this much here. The
// bound is a size of the allocator: one byte more costs up to a quarter.
func TestServerCallStaysSmall(t *testing.T) {
	const bound = 640 // without the lists of its response
	if size := reflect.TypeFor[serverCall]().Size(); size > bound {
		t.Errorf("a serverCall has %d bytes, want at most %d", size, bound)
	}
}
