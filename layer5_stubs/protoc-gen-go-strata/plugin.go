package main

import (
	"flag"
	"fmt"
	"go/token"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// A config holds the options of one request, as protoc's --go-strata_opt gives them.
type config struct {
	// requireUnimplemented makes every server type embed Unimplemented<Svc>Server
	// (or Unsafe<Svc>Server), so that adding a method to the service does not
	// break its build.
	requireUnimplemented bool

	// packageSuffix, when not empty, is appended to the name of the Go package
	// to name the sub-package that the code goes to.
	packageSuffix string
}

// respond generates all files of one request.
func respond(req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	var cfg config
	var flags flag.FlagSet
	flags.BoolVar(&cfg.requireUnimplemented, "require_unimplemented_servers", true, "")
	flags.StringVar(&cfg.packageSuffix, "package_suffix", "", "")

	imp := newImports()
	gen, err := protogen.Options{
		ParamFunc: func(key, value string) error {
			if err := flags.Set(key, value); err != nil {
				return fmt.Errorf("option %s=%s: %w", key, value, err)
			}
			return nil
		},
		ImportRewriteFunc: imp.rewrite,
	}.New(req)
	if err != nil {
		return nil, err
	}
	gen.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL) |
		uint64(pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	gen.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_PROTO2
	gen.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2024

	if err := cfg.validate(); err != nil {
		gen.Error(err)
	} else {
		for _, f := range gen.Files {
			if f.Generate && len(f.Services) > 0 {
				generateFile(gen, f, cfg, imp)
			}
		}
	}
	return gen.Response(), nil
}

// validate refuses a suffix that cannot end a package name.
func (c config) validate() error {
	if !token.IsIdentifier("p" + c.packageSuffix) {
		return fmt.Errorf("package_suffix=%q: want letters, digits and underscores only", c.packageSuffix)
	}
	return nil
}
