package cq_test

import (
	"testing"

	cq "github.com/strata-grpc/strata/layer3_cq"
	"github.com/strata-grpc/strata/layer3_cq/cqtest"
)

func TestContract(t *testing.T) { cqtest.Run(t, cq.New) }

func TestAlarmContract(t *testing.T) {
	cqtest.RunAlarm(t, cq.New, func() *cq.Alarm { return new(cq.Alarm) })
}
