package transport_test

import (
	"testing"

	"github.com/strata-grpc/strata/internal/corenames"
)

// TestNamesOfCore has the transport tests of gRPC core by their names, each
// with the test here that has the same to say, or why there is none. A row
// whose test is gone fails.
func TestNamesOfCore(t *testing.T) {
	corenames.Check(t, []corenames.Row{
		{"alpn_test", "credentials/tls_test.go", "TestTLSRefusals"},
		{"bin_encoder_test", "http2/coding/bin_test.go", "TestBin"},
		{"bin_decoder_test", "http2/coding/bin_test.go", "TestDecodeBin"},
		{"flow_control_test", "http2/spec_test.go", "TestRFC9113_6_9_1_Windows"},
		{"flow_control_test: initial window", "http2/spec_test.go", "TestRFC9113_6_9_2_InitialWindow"},
		{"flow_control_test: fuzz", "http2/stream_test.go", "FuzzWindows"},
		{"frame_test: Serialization, Parse", "frame/fuzz_test.go", "FuzzAppend"},
		{"frame_test: ParseRejects", "frame/spec_test.go", "TestRFC9113_4_2_FrameSize"},
		{"graceful_shutdown_test: GracefulGoaway", "http2/graceful_test.go", "TestGracefulGoaway"},
		{"graceful_shutdown_test: RequestStartedBeforeFinalGoaway", "http2/graceful_test.go", "TestRequestStartedBeforeFinalGoaway"},
		{"graceful_shutdown_test: RequestStartedAfterFinalGoawayIsIgnored", "http2/graceful_test.go", "TestRequestStartedAfterFinalGoawayIsIgnored"},
		{"graceful_shutdown_test: UnresponsiveClient", "http2/graceful_test.go", "TestUnresponsiveClient"},
		{"graceful_shutdown_test: GoawayReceivedOnServerDisconnect", "http2/graceful_test.go", "TestGoawayReceivedOnServerDisconnect"},
		{"hpack_encoder_test", "http2/headerblock/encoder_test.go", "TestAppendOrder"},
		{"hpack_encoder_test: continuation", "http2/testdata/wire/continuation_sent.txt", "send CONTINUATION"},
		{"hpack_parser_test", "http2/headerblock/assembler_test.go", "TestBlockRules"},
		{"hpack_parser_test: limits", "http2/headerblock/assembler_test.go", "TestLimits"},
		{"hpack_parser_table_test", "http2/headerblock/decoder_test.go", "TestTableSizeUpdates"},
		{"hpack_utils_test", "http2/headerblock/encoder_test.go", "TestUserValues"},
		{"http2_settings_test", "frame/spec_test.go", "TestRFC9113_6_5_2_Values"},
		{"http2_settings_test: applied and acknowledged", "http2/spec_test.go", "TestRFC9113_6_5_3_Synchronization"},
		{"max_concurrent_streams_policy_test", "http2/spec_test.go", "TestRFC9113_5_1_2_Concurrency"},
		{"max_concurrent_streams_policy_test: overload", "http2/faults_test.go", "TestRapidResets"},
		{"ping_abuse_policy_test", "http2/keepalive/enforcer_test.go", "TestPingAbusePolicy"},
		{"ping_callbacks_test: ping and answer", "transporttest/connection_cases.go", "a ping is initiated and answered"},
		{"ping_callbacks_test: cancelled", "transporttest/connection_cases.go", "a ping of a closed connection fails"},
		{"ping_configuration_test", "http2/keepalive/pinger_test.go", "TestPingConfiguration"},
		{"ping_callbacks_test: shared", "http2/keepalive_test.go", "TestPingCallbacks"},
		{"ping_rate_policy_test: operations", "http2/keepalive/enforcer_test.go", "TestPingRatePolicy"},
		{"ping_rate_policy_test: measuring", "http2/bdp/bdp_test.go", "TestPingsBecomeRare"},
		{"remove_stream_from_stalled_lists_test", "http2/stalled_test.go", "TestRemoveStreamFromStalledLists"},
		{"settings_timeout_test: Basic", "http2/keepalive_test.go", "TestSettingsTimeout"},
		{"stream_leak_with_queued_flow_control_update_test", "http2/stalled_test.go", "TestStreamLeakWithQueuedFlowControlUpdate"},
		{"streams_not_seen_test: StartStreamBeforeGoaway", "http2/graceful_test.go", `"StartStreamBeforeGoaway"`},
		{"streams_not_seen_test: StartStreamAfterGoaway", "http2/graceful_test.go", `"StartStreamAfterGoaway"`},
		{"streams_not_seen_test: TransportDestroyed", "http2/graceful_test.go", `"TransportDestroyed"`},
		{"streams_not_seen_test: ZeroConcurrency", "http2/graceful_test.go", `"ZeroConcurrency, then GOAWAY"`},
		{"streams_not_seen_test: ZeroConcurrencyTransportDestroyed", "http2/graceful_test.go", `"ZeroConcurrency, then the end"`},
		{"too_many_pings_test: lots of calls that the server cancels", "http2/faults_test.go", "TestCancelStorm"},
		{"too_many_pings_test: TestLotsOfServerCancelledRpcsDoesntGiveTooManyPings", "http2/keepalive_test.go", "TestServerCancelledCallsEarnNoStrikes"},
		{"too_many_pings_test: KeepaliveThrottling", "../layer5_stubs/keepalive_test.go", "TestTooManyPings"},
		{"too_many_pings_test: BdpPingNotSentWithoutReceiveSideActivity", "http2/bdp/bdp_test.go", "TestSmallFramesCauseNoPing"},
		{"too_many_pings_test: TransportsGetCleanedUpOnDisconnect", "transporttest/kit.go", "goroutines are left after Close of both ends"},
		{"varint_test", "http2/headerblock/decoder_test.go", "TestIndexedPrefix"},
		{"write_size_policy_test", "", "writes are bounded by highWater and by the stall timer, not by a size that adapts: http2/outbox/socket_test.go"},

		{"connectivity_state_test: Name", "connectivity/connectivity_test.go", "TestStates"},
		{"connectivity_state_test: SetAndGetState, NotificationUponAddingWatcher", "transporttest/connection_cases.go", "a watcher is told READY, then SHUTDOWN"},
		{"connectivity_state_test: NotificationUponStateChange", "http2/testdata/wire/goaway_client.txt", "state IDLE"},
		{"connectivity_state_test: SubscribeThenUnsubscribe", "transporttest/connection_cases.go", "a watcher that was removed is told nothing"},
		{"connectivity_state_test: AddWhenAlreadyShutdown", "transporttest/connection_cases.go", "late.want(connectivity.Shutdown)"},
		{"connectivity_state_test: NotifyShutdownAtDestruction", "transporttest/connection_cases.go", "w.until(connectivity.Shutdown)"},
		{"connectivity_state_test: OrphanUponShutdown, DoNotNotify…", "", "a watcher is not owned by who it watches, and is told the end once"},
		{"bdp_estimator_test", "http2/bdp/bdp_test.go", "TestGrowthRules"},
		{"error_utils_test", "errors_test.go", "TestErrorText"},
		{"status_conversion_test: grpc to http2", "status/http2_test.go", "TestToHTTP2"},
		{"status_conversion_test: http2 to grpc", "status/http2_test.go", "TestGRPCOverHTTP2Errors"},
		{"status_conversion_test: http to grpc", "status/http2_test.go", "TestHTTPToGRPCStatusCodeMapping"},
		{"status_conversion_test: grpc to http", "", ":status is 200 whatever the code, but for a request that is not gRPC: http_server's TestRequests"},
		{"timeout_encoding_test: Encoding", "http2/coding/timeout_test.go", "TestAppendTimeout"},
		{"timeout_encoding_test: DecodingSucceeds, DecodingFails", "http2/coding/timeout_test.go", "TestParseTimeout"},
		{"metadata_map_test", "metadata/list_test.go", "TestListAgainstModel"},
		{"parsed_metadata_test", "http2/headerblock/assembler_test.go", "TestBlockRules"},
		{"promise_endpoint_test", "", "a net.Conn needs no promises: transporttest/memconn/memconn_test.go tests ours"},
		{"interception_chain_test, call_filters_test", "", "filters belong to layer 2: layer2_callstack/builder_test.go"},
	})
}
