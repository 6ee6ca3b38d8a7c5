package status_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/strata-grpc/strata/layer1_transport/status"
)

// A handler returns a status as its error, and a client gets it back.
func ExampleFromError() {
	err := status.Errorf(status.NotFound, "no gopher called %q", "Rob")
	s, ok := status.FromError(err)
	fmt.Println(ok, s.Code(), s.Message())
	// Output: true NotFound no gopher called "Rob"
}

func ExampleNew() {
	fmt.Println(status.New(status.Aborted, "try again").Err())
	// Output: rpc error: code = Aborted desc = try again
}

func ExampleCodeOf() {
	err := fmt.Errorf("greeting: %w", status.Error(status.Unavailable, "no connection"))
	fmt.Println(status.CodeOf(err), status.CodeOf(nil), status.CodeOf(errors.New("other")))
	// Output: Unavailable OK Unknown
}

func ExampleStatus_WithDetails() {
	s, err := status.New(status.ResourceExhausted, "quota").WithDetails(&errdetails.ErrorInfo{Reason: "DAILY"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, d := range status.Convert(s.Err()).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			fmt.Println(info.GetReason())
		}
	}
	// Output: DAILY
}

// The end of a call by its own context is told by errors.Is.
func ExampleStatus_WithCause() {
	err := status.New(status.Canceled, "the caller gave up").WithCause(context.Canceled)
	fmt.Println(errors.Is(err, context.Canceled), status.CodeOf(err))
	// Output: true Canceled
}

func ExampleFromProto() {
	p := status.New(status.OutOfRange, "past the end").Proto()
	fmt.Println(status.FromProto(p))
	// Output: rpc error: code = OutOfRange desc = past the end
}
