package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A process is a child that carries out commands.
type process struct {
	name     string
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	commands *json.Encoder
	replies  *json.Decoder
}

// startProcess runs this program again in another role. The process is killed
// when ctx ends, and ends itself after limit.
func startProcess(ctx context.Context, cfg config, role, impl string, limit time.Duration) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-role="+role, "-impl="+impl, "-profile="+cfg.profile)
	cmd.Env = append(os.Environ(), limitVariable+"="+limit.String(), identityVariable+"="+cfg.identity)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{
		name:     role + " of " + impl,
		cmd:      cmd,
		stdin:    stdin,
		commands: json.NewEncoder(stdin),
		replies:  json.NewDecoder(bufio.NewReader(stdout)),
	}, nil
}

// ask gives a command and waits for the reply.
func (p *process) ask(c command) (reply, error) {
	if err := p.commands.Encode(c); err != nil {
		return reply{}, fmt.Errorf("%s: %w", p.name, err)
	}
	var r reply
	if err := p.replies.Decode(&r); err != nil {
		return reply{}, fmt.Errorf("%s: %w", p.name, err)
	}
	if r.Err != "" {
		return reply{}, fmt.Errorf("%s: %w", p.name, errors.New(r.Err))
	}
	return r, nil
}

// close ends the process and waits until it is gone.
func (p *process) close() error {
	_ = p.stdin.Close() // the process takes this as the end
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
