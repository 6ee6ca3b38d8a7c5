package cq_test

import (
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer3_cq/cqtest"
)

func TestContract(t *testing.T) { cqtest.Run(t, cq.New) }
