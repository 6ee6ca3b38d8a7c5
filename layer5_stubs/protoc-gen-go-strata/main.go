package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// version is the release that generated files name in their header. It is a
// constant, not build information, so that the same sources always generate
// the same bytes.
const version = "v0.1.0"

// name is the program, as generated files, errors and -version spell it.
const name = "protoc-gen-go-strata"

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// run is main with everything that it reads and writes.
func run(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	printVersion := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *printVersion {
		_, err := fmt.Fprintln(stdout, name, version)
		return err
	}
	return serve(stdin, stdout)
}

// serve answers the one CodeGeneratorRequest on r. What is wrong with the
// .proto files or the options goes into the response, where protoc looks for
// it; the error is for what is wrong with the exchange itself.
func serve(r io.Reader, w io.Writer) error {
	in, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	req := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(in, req); err != nil {
		return fmt.Errorf("the request is not a CodeGeneratorRequest: %w", err)
	}
	if len(req.GetFileToGenerate()) == 0 {
		return errors.New("no file to generate: protoc runs this program, with a request on standard input")
	}
	resp, err := respond(req)
	if err != nil {
		return err
	}
	out, err := proto.Marshal(resp)
	if err != nil {
		return fmt.Errorf("encoding the response: %w", err)
	}
	_, err = w.Write(out)
	return err
}
