package surface

import (
	"testing"

	"github.com/strata-grpc/strata/internal/corenames"
)

// TestNamesOfCore has the tests of gRPC core's surface that are not cases of
// package surfacetest by the names that they have there, each with the test here
// that says the same, or why there is none. A row whose test is gone fails.
//
// The suite proper, test/core/end2end/tests, is surfacetest/testdata/names.txt.
func TestNamesOfCore(t *testing.T) {
	corenames.Check(t, []corenames.Row{
		// Parts of the suite that gRPC core has given up since version 1.33.
		{"authority_not_supported", "badserver_test.go", "TestAuthorityNotSupported"},
		{"bad_hostname", "badserver_test.go", "TestBadHostname"},
		{"filter_context", "", "filters of one call share no context; what they pass on is in the batch"},
		{"filter_latency", "", "a stack tells no latency; a trace does, and statistics are not built"},
		{"filter_status_code", "surfacetest/filter_cases.go", "FilterSeesTheStatus"},
		{"idempotent_request", "", "the verb PUT was an experiment that gRPC has dropped"},
		{"simple_cacheable_request", "", "and so was GET, with the request in the path"},
		{"load_reporting_hook", "", "load reporting belongs to grpclb, which is no longer in use"},
		{"no_error_on_hotpath", "alloc_test.go", "TestAllocsUnary"},
		{"stream_compression_compressed_payload, _payload, _ping_pong", "", "compression of whole streams was an experiment that gRPC has dropped"},
		{"workaround_cronet_compression", "", "there is no client on Cronet here"},
		{"census, tags of bin keys", "", "census has been replaced by OpenTelemetry, which is above gRPC"},

		// Programs beside the suite.
		{"invalid_call_argument_test", "validate_test.go", "TestInvalidCallArgument"},
		{"invalid_call_argument_test: multiple_ops_in_a_single_batch", "validate_test.go", "TestInvalidCallArgument_multiple_ops_in_a_single_batch"},
		{"invalid_call_argument_test: non_null_reserved_on_start_batch, _on_op", "", "neither StartBatch nor Op has a reserved argument"},
		{"no_server_test", "badserver_test.go", "TestNoServer"},
		{"connection_refused_test", "badserver_test.go", "TestConnectionRefused"},
		{"connection_refused_test: with service config", "", "waits for service config"},
		{"goaway_server_test", "badserver_test.go", "TestGoawayServer"},
		{"bad_server_response_test", "badserver_test.go", "TestBadServerResponse"},
		{"bad_server_response_test: not HTTP/2, no SETTINGS", "badserver_test.go", "TestServerThatIsNotHTTP2"},
		{"multiple_server_queues_test", "request_test.go", "TestMultipleServerQueues"},
		{"dualstack_socket_test", "../tests/endpoints/dualstack_test.go", "TestDualstack"},
		{"h2_ssl_cert_test", "../tests/endpoints/tls_test.go", "TestClientCertificates"},
		{"h2_ssl_session_reuse_test", "../tests/endpoints/tls_test.go", "TestSessionReuse"},
		{"fuzzers: api_fuzzer", "fuzzcall_test.go", "FuzzCall"},
		{"fuzzers: server_fuzzer", "fuzz_test.go", "FuzzServerRequests"},
		{"fuzzers: client_fuzzer", "../layer1_transport/http2/fuzz_test.go", "FuzzClientWire"},

		// test/core/bad_client: each name is a file of rows.
		{"bad_client: badreq", "badclient_cases_test.go", `"badreq"`},
		{"bad_client: connection_prefix", "badclient_test.go", "TestBadClientConnectionPrefix"},
		{"bad_client: duplicate_header", "badclient_cases_test.go", `"duplicate_header"`},
		{"bad_client: head_of_line_blocking", "badclient_frames_test.go", `"head_of_line_blocking"`},
		{"bad_client: headers", "badclient_cases_test.go", `"headers"`},
		{"bad_client: initial_settings_frame", "badclient_frames_test.go", `"initial_settings_frame"`},
		{"bad_client: large_metadata", "badclient_cases_test.go", `"large_metadata"`},
		{"bad_client: out_of_bounds", "badclient_frames_test.go", `"out_of_bounds"`},
		{"bad_client: server_registered_method", "badclient_cases_test.go", `"server_registered_method"`},
		{"bad_client: simple_request", "badclient_frames_test.go", `"simple_request"`},
		{"bad_client: unknown_frame", "badclient_frames_test.go", `"unknown_frame"`},
		{"bad_client: window_overflow", "badclient_frames_test.go", `"window_overflow"`},
		{"bad_client: bad_streaming_id", "badclient_frames_test.go", `"bad_streaming_id"`},

		// test/core/surface.
		{"completion_queue_test, completion_queue_threading_test, alarm_test", "../layer3_cq/cqtest/names_test.go", "coreTests"},
		{"lame_client_test", "lame_test.go", "TestLameClient"},
		{"server_test: register method", "server_test.go", "TestRegisterMethodErrors"},
		{"server_test: request_call on an unregistered queue", "server_test.go", "TestRequestCallErrors"},
		{"server_test: bind the same address twice", "../tests/endpoints/bind_test.go", "TestBindTwice"},
		{"server_test: bind unix, ipv4, ipv6", "../tests/endpoints/bind_test.go", "TestManyAddresses"},
		{"server_chttp2_test: unparsable target", "../tests/endpoints/bind_test.go", "TestUnparsableAddress"},
		{"server_chttp2_test: the same port twice", "../tests/endpoints/bind_test.go", "TestSamePortTwice"},
		{"concurrent_connectivity_test", "../tests/connectivity/concurrent_test.go", "TestConcurrentConnectivity"},
		{"concurrent_connectivity_test: short timeouts", "../tests/connectivity/concurrent_test.go", "TestConcurrentWatchesWithShortTimeouts"},
		{"sequential_connectivity_test", "../tests/connectivity/sequential_test.go", "TestSequentialConnectivity"},
		{"num_external_connectivity_watchers_test", "watch_test.go", "TestNumExternalConnectivityWatchers"},
		{"channel_create_test, secure_channel_create_test", "lame_test.go", "TestChannelCreate"},
		{"init_test", "", "nothing is global, so nothing is set up and torn down"},
		{"byte_buffer_reader_test: coded messages", "../layer2_callstack/filters/compression/encoding/message_test.go", "byte_buffer_reader_test"},
		{"byte_buffer_reader_test: slices", "../layer1_transport/buffer_test.go", "TestAppendGrows"},
		{"channel_init_test", "../layer2_callstack/core_test.go", "channel_init_test"},
	})
}
