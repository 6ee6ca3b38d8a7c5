package service

import (
	"context"
	"slices"

	status "github.com/strata-grpc/strata/layer1_transport/status"
	stubs "github.com/strata-grpc/strata/layer5_stubs"
	"github.com/strata-grpc/strata/tests/grpctestingpb"
)

// checkCompressed compares how the last message came with what it says of that.
func checkCompressed(ctx context.Context, expect *grpctestingpb.BoolValue) error {
	switch compressed := stubs.RequestCompressed(ctx); {
	case expect == nil || expect.GetValue() == compressed:
		return nil
	case compressed:
		return status.Error(status.InvalidArgument, "the request was not to be compressed and was")
	default:
		return status.Error(status.InvalidArgument, "the request was to be compressed and was not")
	}
}

// coding is what answers are compressed with: every implementation has it.
const coding = "gzip"

// compressAnswers has the answers of a call compressed, if want says so and the
// client accepts it. When headers have gone out it stays as it was.
func compressAnswers(ctx context.Context, want bool) error {
	accepted, err := stubs.ClientSupportedCompressors(ctx)
	if err != nil || !want || !slices.Contains(accepted, coding) {
		return err
	}
	_ = stubs.SetSendCompressor(ctx, coding) // which fails when they have
	return nil
}
