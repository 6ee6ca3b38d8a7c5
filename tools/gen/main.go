package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "gen:", err)
		}
		os.Exit(1)
	}
}

// A job is one run of the plugins over files that are generated alike.
type job struct {
	includes includes
	files    []string // import paths of the files to generate
	goOpts   []string // for protoc-gen-go
	stubOpts []string // for protoc-gen-go-strata
	private  bool     // descriptors stay out of the global registries

	// request, when set, names the output file for the CodeGeneratorRequest
	// itself, and no plugin runs.
	request string
}

// run is main with its arguments and its error.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	var (
		inc                      includes
		opts, goOpts, strataOpts list
	)
	all := flags.Bool("all", false, "regenerate every file in the manifest (the default without files)")
	check := flags.Bool("check", false, "write nothing; fail if a file on disk differs")
	out := flags.String("out", ".", "`directory` that output paths are relative to")
	private := flags.Bool("private", false, "keep descriptors out of the global registries")
	flags.Var(&inc, "I", "`[virtual=]directory` to search for imports; may be repeated")
	flags.Var(&opts, "opt", "`option` for both plugins; may be repeated")
	flags.Var(&goOpts, "go_opt", "`option` for protoc-gen-go; may be repeated")
	flags.Var(&strataOpts, "strata_opt", "`option` for protoc-gen-go-strata; may be repeated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	files := flags.Args()

	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	var jobs []job
	switch {
	case *all && len(files) > 0:
		return fmt.Errorf("-all takes no files, got %q", files)
	case *all || len(files) == 0:
		jobs, *out = manifestJobs(root, manifest), root
	default:
		if len(inc) == 0 {
			inc = includes{{dir: "."}}
		}
		jobs = []job{{
			includes: inc,
			files:    files,
			goOpts:   withPaths(slices.Concat(opts, goOpts)),
			stubOpts: withPaths(slices.Concat(opts, strataOpts)),
			private:  *private,
		}}
	}
	tree, err := generate(ctx, root, jobs)
	if err != nil {
		return err
	}
	if *check {
		return tree.check(*out)
	}
	return tree.write(*out)
}

// generate runs all jobs and returns the files they make.
func generate(ctx context.Context, root string, jobs []job) (tree, error) {
	plugins, err := buildPlugins(ctx, root)
	if err != nil {
		return nil, err
	}
	t := tree{}
	for _, j := range jobs {
		if err := j.run(ctx, plugins, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// run adds the job's files to t.
func (j job) run(ctx context.Context, p plugins, t tree) error {
	req, err := compile(ctx, j.includes, j.files)
	if err != nil {
		return err
	}
	if j.request != "" {
		return t.addMessage(j.request, req)
	}
	messages, err := p.messages.run(ctx, req, j.goOpts)
	if err != nil {
		return err
	}
	if j.private {
		if messages, err = privatise(messages); err != nil {
			return err
		}
	}
	services, err := p.services.run(ctx, req, j.stubOpts)
	if err != nil {
		return err
	}
	return t.add(append(messages, services...))
}

// withPaths makes output paths follow the .proto files' when nothing else is asked for.
func withPaths(opts []string) []string {
	for _, o := range opts {
		if strings.HasPrefix(o, "paths=") || strings.HasPrefix(o, "module=") {
			return opts
		}
	}
	return append(opts, "paths=source_relative")
}

// A list is a flag that may be repeated.
type list []string

// String returns the values as plugins take them.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds one value.
func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}
