// Command client is the official interop test client on Strata.
//
//	go run ./interop/client --server_host H --server_port N --test_case NAME \
//	    [--use_tls --ca_file F --server_host_override N]
//
// It exits with 0 if and only if the case passed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"strconv"
	"strings"
	"time"

	credentials "github.com/strata-grpc/strata/layer1_transport/credentials"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/interop/cases"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("interop client: ")
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

	testCase, ok := cases.Find(*name)
	if !ok {
		return fmt.Errorf("unknown --test_case %q; there are %s", *name, names())
	}
	creds := credentials.NewInsecure()
	if *useTLS {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(*caFile, *override); err != nil {
			return err
		}
	}
	cc, err := stubs.NewClient(net.JoinHostPort(*host, strconv.Itoa(*port)), stubs.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer cc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if err := testCase.Run(ctx, cc); err != nil {
		return fmt.Errorf("%s: %w", testCase.Name, err)
	}
	fmt.Println("passed", testCase.Name)
	return nil
}

// names lists the cases.
func names() string {
	var all []string
	for _, c := range cases.All() {
		all = append(all, c.Name)
	}
	return strings.Join(all, ", ")
}
