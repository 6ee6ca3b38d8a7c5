// Command client is grpc-go's interop test client behind this repository's
// flags: the reference that Strata's server is tested against.
//
//	go run ./interop/grpcgo/client --server_host H --server_port N --test_case NAME
//
// It exits with 0 if and only if the case passed: grpc-go's cases end the
// process when they fail.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// A testCase runs grpc-go's own case over a connection.
type testCase func(ctx context.Context, cc *grpc.ClientConn)

// onService adapts a case that calls TestService.
func onService(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) testCase {
	return func(ctx context.Context, cc *grpc.ClientConn) { run(ctx, testgrpc.NewTestServiceClient(cc)) }
}

// cases are the official cases that grpc-go and Strata both have, by name.
func cases() map[string]testCase {
	return map[string]testCase{
		"empty_unary":                 onService(interop.DoEmptyUnaryCall),
		"large_unary":                 onService(interop.DoLargeUnaryCall),
		"client_streaming":            onService(interop.DoClientStreaming),
		"server_streaming":            onService(interop.DoServerStreaming),
		"ping_pong":                   onService(interop.DoPingPong),
		"empty_stream":                onService(interop.DoEmptyStream),
		"cancel_after_begin":          onService(interop.DoCancelAfterBegin),
		"cancel_after_first_response": onService(interop.DoCancelAfterFirstResponse),
		"timeout_on_sleeping_server":  onService(interop.DoTimeoutOnSleepingServer),
		"status_code_and_message":     onService(interop.DoStatusCodeAndMessage),
		"special_status_message":      onService(interop.DoSpecialStatusMessage),
		"custom_metadata":             onService(interop.DoCustomMetadata),
		"unimplemented_method":        interop.DoUnimplementedMethod,
		"unimplemented_service": func(ctx context.Context, cc *grpc.ClientConn) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
		},
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("interop client (grpc-go): ")
	// Failures of the cases are reported through grpc-go's logger, which is
	// silent by default.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(os.Stdout, os.Stdout, os.Stderr))
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	host := flag.String("server_host", "localhost", "the server's host")
	port := flag.Int("server_port", 10000, "the server's port")
	name := flag.String("test_case", "large_unary", "the case to run")
	useTLS := flag.Bool("use_tls", false, "TLS instead of plain text")
	caFile := flag.String("ca_file", "", "the authority that signed the server's certificate, PEM")
	override := flag.String("server_host_override", "", "the name that the certificate is checked against")
	timeout := flag.Duration("timeout", time.Minute, "how long the case may take")
	flag.Parse()

	all := cases()
	testCase, ok := all[*name]
	if !ok {
		names := make([]string, 0, len(all))
		for n := range all {
			names = append(names, n)
		}
		slices.Sort(names)
		log.Fatalf("unknown --test_case %q; there are %s", *name, strings.Join(names, ", "))
	}
	creds := insecure.NewCredentials()
	if *useTLS {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(*caFile, *override); err != nil {
			return err
		}
	}
	cc, err := grpc.NewClient(net.JoinHostPort(*host, strconv.Itoa(*port)), grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	testCase(ctx, cc)
	return nil
}
