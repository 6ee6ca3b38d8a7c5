package main

import (
	"context"
	"time"

	"github.com/strata-grpc/strata/tests/internal/child"
)

// A process is a child that carries out commands.
type process struct {
	*child.Process[command, reply]
	name string
}

// startProcess runs this program again in another role. The process is killed
// when ctx ends, and ends itself after limit.
func startProcess(ctx context.Context, cfg config, role, impl string, limit time.Duration) (*process, error) {
	name := role + " of " + impl
	p, err := child.Start[command, reply](ctx, name,
		[]string{"-role=" + role, "-impl=" + impl, "-profile=" + cfg.profile},
		[]string{limitVariable + "=" + limit.String(), identityVariable + "=" + cfg.identity})
	return &process{p, name}, err
}
