// Package child runs a program again, as a process that takes commands.
//
// A measurement wants what it measures in a process of its own: memory, CPU time
// and goroutines are then nobody else's. The processes talk in JSON, a command
// and its reply a line each, over the child's standard input and output.
//
// # Contract
//
//   - The child is the program that is running, tests included: a main or a
//     TestMain that finds itself asked to calls [Answer].
//   - One command at a time; a reply is waited for.
//   - A child ends when its input does. Its parent's death is the end of it.
//   - Not here: what the commands are, and how long a child may live.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
//
// # Reading order
//
// child.go.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A line is a reply as it travels.
type line[R any] struct {
	Err   string `json:",omitempty"`
	Reply R
}

// A Process is a child that takes commands of type C and replies with R.
type Process[C, R any] struct {
	name     string
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	commands *json.Encoder
	replies  *json.Decoder
}

// Start runs this program again, with arguments and more of an environment. The
// process is killed when ctx ends. name stands in errors.
func Start[C, R any](ctx context.Context, name string, args, env []string) (*Process[C, R], error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process[C, R]{name: name, cmd: exec.CommandContext(ctx, self, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.commands, p.replies = json.NewEncoder(p.stdin), json.NewDecoder(bufio.NewReader(stdout))
	return p, p.cmd.Start()
}

// Ask gives a command and waits for the reply. An error is the child's, or says
// that there is no child any more.
func (p *Process[C, R]) Ask(command C) (R, error) {
	var l line[R]
	if err := p.commands.Encode(command); err != nil {
		return l.Reply, fmt.Errorf("%s: %w", p.name, err)
	}
	if err := p.replies.Decode(&l); err != nil {
		return l.Reply, fmt.Errorf("%s: %w", p.name, err)
	}
	if l.Err != "" {
		return l.Reply, fmt.Errorf("%s: %w", p.name, errors.New(l.Err))
	}
	return l.Reply, nil
}

// Close ends the process and waits until it is gone.
func (p *Process[C, R]) Close() error {
	_ = p.stdin.Close() // the child takes this as the end
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// Answer is the child: it reads commands and writes what do returns, until the
// input ends.
func Answer[C, R any](in io.Reader, out io.Writer, do func(C) (R, error)) error {
	commands, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c C
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var l line[R]
		var err error
		if l.Reply, err = do(c); err != nil {
			l.Err = err.Error()
		}
		if err := replies.Encode(l); err != nil {
			return err
		}
	}
}
