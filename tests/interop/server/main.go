// Command server is the official interop test server on Strata.
//
//	go run ./interop/server --port 10000 [--use_tls --tls_cert_file F --tls_key_file F]
//
// It prints "listening on ADDR" once it accepts connections and serves until
// it is interrupted; calls that run then get two seconds to end.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
	"github.com/strata-grpc/strata/tests/interop/service"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("interop server: ")
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

	creds := credentials.NewInsecure()
	if *useTLS {
		var err error
		if creds, err = credentials.NewServerTLSFromFile(*certFile, *keyFile); err != nil {
			return err
		}
	}
	lis, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	s := stubs.NewServer(stubs.Creds(creds))
	grpctestingpb.RegisterTestServiceServer(s, service.New(lis.Addr().String()))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		ended <- s.Shutdown(grace)
	}()
	fmt.Println("listening on", lis.Addr())
	if err := s.Serve(lis); err != nil {
		return err
	}
	return <-ended
}
