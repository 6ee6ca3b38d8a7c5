package surfacetest

// waitingCases are the tests of gRPC core that ask for what this project does
// not have yet. They are rows of the table, so that they are not forgotten.
func waitingCases() []testCase {
	rows := []struct {
		file, waits string
		names       []string
	}{
		{"cancel_after_accept", "service config", []string{"DeadlineAfterAcceptWithServiceConfig"}},
		{"cancel_after_round_trip", "service config", []string{"DeadlineAfterRoundTripWithServiceConfig"}},
		{"max_message_length", "service config", []string{
			"MaxMessageLengthOnClientOnRequestViaServiceConfigWithStringJsonValue",
			"MaxMessageLengthOnClientOnResponseViaServiceConfigWithStringJsonValue",
			"MaxMessageLengthOnClientOnRequestViaServiceConfigWithIntegerJsonValue",
			"MaxMessageLengthOnClientOnResponseViaServiceConfigWithIntegerJsonValue",
		}},
		{"http2_stats", "a call tracer", []string{"StreamStats"}},
		{"channelz", "channelz", []string{"Channelz", "ChannelzWithChannelTrace", "ChannelzDisabled"}},
		{"retry", "retry", []string{"Retry"}},
		{"retry_streaming", "retry", []string{"RetryStreaming"}},
		{"retry_streaming_after_commit", "retry", []string{"RetryStreamingAfterCommit"}},
		{"retry_streaming_succeeds_before_replay_finished", "retry", []string{"RetryStreamSucceedsBeforeReplayFinished"}},
		{"retry_too_many_attempts", "retry", []string{"RetryTooManyAttempts"}},
		{"retry_disabled", "retry", []string{"RetryDisabled"}},
		{"retry_throttled", "retry", []string{"RetryThrottled"}},
		{"retry_server_pushback_delay", "retry", []string{"RetryServerPushbackDelay"}},
		{"retry_server_pushback_disabled", "retry", []string{"RetryServerPushbackDisabled"}},
		{"retry_non_retriable_status", "retry", []string{"RetryNonRetriableStatus"}},
		{"retry_non_retriable_status_before_trailers", "retry", []string{"RetryNonRetriableStatusBeforeTrailers"}},
		{"retry_recv_initial_metadata", "retry", []string{"RetryRecvInitialMetadata"}},
		{"retry_recv_message", "retry", []string{"RetryRecvMessage"}},
		{"retry_recv_message_replay", "retry", []string{"RetryRecvMessageReplay"}},
		{"retry_recv_trailing_metadata_error", "retry", []string{"RetryRecvTrailingMetadataError"}},
		{"retry_send_recv_batch", "retry", []string{"RetrySendRecvBatch"}},
		{"retry_send_op_fails", "retry", []string{"RetrySendOpFails"}},
		{"retry_send_initial_metadata_refs", "retry", []string{"RetrySendInitialMetadataRefs"}},
		{"retry_exceeds_buffer_size_in_delay", "retry", []string{"RetryExceedsBufferSizeInDelay"}},
		{"retry_exceeds_buffer_size_in_initial_batch", "retry", []string{"RetryExceedsBufferSizeInInitialBatch"}},
		{"retry_exceeds_buffer_size_in_subsequent_batch", "retry", []string{"RetryExceedsBufferSizeInSubsequentBatch"}},
		{"retry_cancellation", "retry", []string{"RetryCancellation", "RetryDeadline"}},
		{"retry_cancel_during_delay", "retry", []string{"CancelDuringDelay", "DeadlineDuringDelay"}},
		{"retry_cancel_after_first_attempt_starts", "retry", []string{"RetryCancelAfterFirstAttemptStarts"}},
		{"retry_cancel_with_multiple_send_batches", "retry", []string{"CancelWithMultipleSendBatches", "DeadlineWithMultipleSendBatches"}},
		{"retry_lb_drop", "retry", []string{"RetryLbDrop"}},
		{"retry_lb_fail", "retry", []string{"RetryLbFail"}},
		{"retry_transparent_goaway", "retry", []string{"TransparentGoaway"}},
		{"retry_transparent_max_concurrent_streams", "retry", []string{"TransparentMaxConcurrentStreams"}},
		{"retry_transparent_not_sent_on_wire", "retry", []string{"TransparentNotSentOnWire"}},
		{"retry_unref_before_finish", "retry", []string{"UnrefBeforeFinish"}},
		{"retry_unref_before_recv", "retry", []string{"UnrefBeforeRecv"}},
	}
	var cases []testCase
	for _, row := range rows {
		for _, name := range row.names {
			cases = append(cases, testCase{file: row.file, name: name, waits: row.waits})
		}
	}
	return cases
}

// notMirrored are the tests of gRPC core that there is no sense in having, and
// why. An entry without names stands for the whole file.
var notMirrored = []struct {
	file  string
	names []string
	why   string
}{
	{"binary_metadata", []string{
		"BinaryMetadataServerTrueBinaryClientTrueBinary", "BinaryMetadataServerTrueBinaryClientHttp2Fallback",
		"BinaryMetadataServerHttp2FallbackClientTrueBinary",
	}, "true-binary metadata is an extension of gRPC core alone; everybody understands base64"},
	{"large_metadata", []string{
		"RequestWithLargeMetadataBetweenSoftAndHardLimits", "RequestWithLargeMetadataSoftLimitAboveHardLimit",
		"RequestWithLargeMetadataSoftLimitOverridesDefaultHard", "RequestWithLargeMetadataHardLimitOverridesDefaultSoft",
		"RequestWithLargeMetadataSoftLimitBelowDefaultSoft",
	}, "there is one limit, which clients are told; refusing at random below it helps nobody to find a fault"},
	{"request_with_flags", []string{"WriteInternalCompressAcceptedOnSendMessage"},
		"the flag is one that gRPC core's filters use among themselves"},
	{"resource_quota_server", nil, "memory is bounded by the limits of SECURITY.md, not by a quota that calls share"},
	{"grpc_authz", nil, "role based access control is a policy engine above gRPC"},
	{"retry_per_attempt_recv_timeout", nil, "an experiment of gRPC core that is not part of gRFC A6"},
	{"retry_per_attempt_recv_timeout_on_last_attempt", nil, "the same"},
}
