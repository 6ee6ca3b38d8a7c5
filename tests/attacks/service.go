package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serviceName is the service of the victims.
const serviceName = "attack.Target"

// A message is what travels: bytes.
type message = wrapperspb.BytesValue

// sleepTime is how long Sleep works, whatever becomes of its caller.
const sleepTime = 50 * time.Millisecond

// bigReply is the length of what Big answers, which with all that precedes it
// stays below 1 MiB.
const bigReply = 1_000_000

// A unaryMethod is one request and one reply.
type unaryMethod struct {
	name string
	run  func(in *message, setHeader func(key, value string)) (*message, error)
}

// unaryMethods are the same for every implementation.
var unaryMethods = []unaryMethod{
	{"Echo", func(in *message, _ func(string, string)) (*message, error) { return in, nil }},
	{"Sleep", func(in *message, _ func(string, string)) (*message, error) {
		time.Sleep(sleepTime)
		return in, nil
	}},
	{"Big", func(*message, func(string, string)) (*message, error) {
		return &message{Value: make([]byte, bigReply)}, nil
	}},
	// Header answers with a header that no other answer has.
	{"Header", func(in *message, setHeader func(string, string)) (*message, error) {
		setHeader("x-unique", strconv.FormatInt(counts.calls.Load(), 10)+strings.Repeat("x", 4000))
		return in, nil
	}},
}

// A stream is a server's end of a call, of either implementation.
type stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// A streamMethod is any number of messages both ways.
type streamMethod struct {
	name string
	run  func(s stream) error
}

// streamMethods are the same for every implementation.
var streamMethods = []streamMethod{
	// Block never reads. It ends with the call.
	{"Block", func(s stream) error {
		<-s.Context().Done()
		return s.Context().Err()
	}},
	// Read waits for a message and then goes on as Block does.
	{"Read", func(s stream) error {
		if err := s.RecvMsg(new(message)); err != nil {
			return err
		}
		<-s.Context().Done()
		return s.Context().Err()
	}},
	// Flood sends 10 MB, as fast as it may.
	{"Flood", func(s stream) error {
		for range 640 {
			if err := s.SendMsg(&message{Value: make([]byte, 16<<10)}); err != nil {
				return err
			}
		}
		return nil
	}},
}

// methodName is the full name of a method, which its handler must be called by.
func methodName(name string) string { return "/" + serviceName + "/" + name }

// An implementation is a gRPC library as victim.
type implementation interface {
	// serve starts a server on a free loopback port.
	serve(idle time.Duration) (addr string, stop func(), err error)
	// dial returns a function that makes an Echo call and says how it ended,
	// in the names of the protocol: OK, DEADLINE_EXCEEDED.
	dial(target string) (call func(ctx context.Context) (code string), stop func(), err error)
}

// implementations are what there is to be attacked.
var implementations = map[string]implementation{"strata": strataLib{}, "grpc-go": grpcGoLib{}}

func findImplementation(name string) (implementation, error) {
	impl, ok := implementations[name]
	if !ok {
		return nil, fmt.Errorf("no implementation %q", name)
	}
	return impl, nil
}

// errWrong is what a reply is that is not what was sent.
var errWrong = errors.New("the reply differs from the request")

// checkEcho compares them.
func checkEcho(sent, got *message) error {
	if string(sent.GetValue()) != string(got.GetValue()) {
		return errWrong
	}
	return nil
}

// codeName returns the protocol's spelling of a code's name.
func codeName(goName string) string {
	var b strings.Builder
	for i, r := range goName {
		if i > 0 && 'A' <= r && r <= 'Z' && goName != "OK" {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	name := strings.ToUpper(b.String())
	if name == "CANCELED" {
		return "CANCELLED"
	}
	return name
}
