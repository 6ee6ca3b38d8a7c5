package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugins are the two programs that every job runs.
type plugins struct {
	messages plugin // protoc-gen-go
	services plugin // protoc-gen-go-strata
}

// A plugin is the file name of a protoc plugin.
type plugin string

// buildPlugins builds both plugins into root/bin. The go command's cache makes
// this cheap when nothing has changed.
func buildPlugins(ctx context.Context, root string) (plugins, error) {
	messages, err := buildPlugin(ctx, root, filepath.Join(root, "tools", "gen"), "google.golang.org/protobuf/cmd/protoc-gen-go")
	if err != nil {
		return plugins{}, err
	}
	services, err := buildPlugin(ctx, root, root, module+"/layer5_stubs/protoc-gen-go-strata")
	return plugins{messages: messages, services: services}, err
}

// buildPlugin builds pkg, at the version that the module in dir pins.
func buildPlugin(ctx context.Context, root, dir, pkg string) (plugin, error) {
	file := filepath.Join(root, "bin", pkg[strings.LastIndex(pkg, "/")+1:])
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return plugin(file), nil
}

// run sends req with the given options to the plugin and returns its files.
func (p plugin) run(ctx context.Context, req *pluginpb.CodeGeneratorRequest, opts []string) ([]generated, error) {
	name := filepath.Base(string(p))
	req = proto.CloneOf(req)
	req.Parameter = proto.String(strings.Join(opts, ","))
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("%s: encoding the request: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, string(p))
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	resp := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out, resp); err != nil {
		return nil, fmt.Errorf("%s: decoding the response: %w", name, err)
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("%s: %s", name, resp.GetError())
	}
	var files []generated
	for _, f := range resp.GetFile() {
		if f.GetInsertionPoint() != "" {
			return nil, fmt.Errorf("%s: %s: insertion points are not supported", name, f.GetName())
		}
		files = append(files, generated{path: f.GetName(), content: []byte(f.GetContent())})
	}
	return files, nil
}

// repositoryRoot walks up from the working directory to the root module.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module "+module+"\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this inside the repository: no go.mod of " + module + " above the working directory")
		}
		dir = parent
	}
}
