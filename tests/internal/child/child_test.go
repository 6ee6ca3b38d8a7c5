package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain is the child where a test has asked for one: it adds numbers up, and
// dies of thirteen.
func TestMain(m *testing.M) {
	if os.Getenv("STRATA_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	sum := 0
	err := Answer(os.Stdin, os.Stdout, func(n int) (int, error) {
		if n == 13 {
			os.Exit(3)
		}
		if n < 0 {
			return 0, errors.New("only up")
		}
		sum += n
		return sum, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(t *testing.T) *Process[int, int] {
	t.Helper()
	p, err := Start[int, int](t.Context(), "adder", nil, []string{"STRATA_TEST_CHILD=1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCommandsAndReplies(t *testing.T) {
	p := start(t)
	for _, step := range []struct {
		n, want int
		err     string
	}{{3, 3, ""}, {-1, 0, "adder: only up"}, {4, 7, ""}} {
		got, err := p.Ask(step.n)
		if got != step.want || err == nil && step.err != "" || err != nil && err.Error() != step.err {
			t.Errorf("Ask(%d) = %d, %v, want %d, %q", step.n, got, err, step.want, step.err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestDeath: a child that dies is an error, not silence.
func TestDeath(t *testing.T) {
	p := start(t)
	if _, err := p.Ask(13); err == nil || !strings.HasPrefix(err.Error(), "adder: ") {
		t.Errorf("Ask of a child that died = %v", err)
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Close = %v, want its exit status", err)
	}
}
