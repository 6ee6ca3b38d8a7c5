// Command server is grpc-go's interop test server behind this repository's
// flags: the reference that Strata's client is tested against.
//
//	go run ./interop/grpcgo/server --port 10000 [--use_tls --tls_cert_file F --tls_key_file F]
//
// It prints "listening on ADDR" once it accepts connections.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("interop server (grpc-go): ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	host := flag.String("host", "", "the address to listen on; empty means every address")
	port := flag.Int("port", 10000, "the port to listen on; 0 picks a free one")
	useTLS := flag.Bool("use_tls", false, "TLS instead of plain text")
	certFile := flag.String("tls_cert_file", "", "the server's certificate, PEM")
	keyFile := flag.String("tls_key_file", "", "the certificate's key, PEM")
	flag.Parse()

	var opts []grpc.ServerOption
	if *useTLS {
		creds, err := credentials.NewServerTLSFromFile(*certFile, *keyFile)
		if err != nil {
			return err
		}
		opts = append(opts, grpc.Creds(creds))
	}
	lis, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	s := grpc.NewServer(opts...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	fmt.Println("listening on", lis.Addr())
	return s.Serve(lis)
}
