// Command badserver is the servers of the official negative HTTP/2 interop
// tests: each breaks a habit, or a rule, that a gRPC client has to live with.
//
//	go run ./interop/badserver [--port 8080] --test_case goaway
//
// What a case does is a script in testdata, in the language of package
// framescript. The command serves until it is interrupted and then says which
// scripts the client did not follow; the tests of this folder run Strata's
// client against all of them.
//
// # Contract
//
//   - The names and the order of events are those of the documents "HTTP2
//     Interop Test Case Descriptions" and "Negative HTTP/2 Interop Test Case
//     Descriptions" of gRPC; the client's part is a large unary call.
//   - The statuses that tests want are those of gRPC-HTTP2's table of error
//     codes, in which NO_ERROR is INTERNAL.
//
// # Goroutines
//
// None of its own.
//
// # Locks
//
// None.
//
// # Reading order
//
// main.go; testdata/*.txt; badserver_test.go.
package main

import (
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/strata-grpc/strata/layer1_transport/transporttest/framescript"
)

//go:embed testdata/*.txt
var scripts embed.FS

// find returns the script of a case.
func find(name string) (*framescript.Script, error) {
	text, err := fs.ReadFile(scripts, "testdata/"+name+".txt")
	if err != nil {
		return nil, fmt.Errorf("no case %q; there are %s", name, strings.Join(names(), ", "))
	}
	return framescript.Parse(name+".txt", string(text))
}

// names lists the cases.
func names() []string {
	files, err := fs.Glob(scripts, "testdata/*.txt")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "testdata/"), ".txt")
	}
	return files
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("badserver: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	port := flag.Int("port", 8080, "the port to listen on; 0 picks a free one")
	name := flag.String("test_case", "goaway", "the case to play: "+strings.Join(names(), ", "))
	flag.Parse()
	script, err := find(*name)
	if err != nil {
		return err
	}
	lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	srv := framescript.Serve(lis, script, framescript.Options{})
	fmt.Println("listening on", lis.Addr())
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	<-interrupted
	return srv.Close()
}
