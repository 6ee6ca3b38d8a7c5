package callstack_test

import (
	"testing"

	"github.com/strata-grpc/strata/internal/corenames"
)

// TestNamesOfCore has the tests of gRPC core's channel stacks by the names that
// they have there, each with the test here that says the same, or why there is
// none. A row whose test is gone fails.
func TestNamesOfCore(t *testing.T) {
	const (
		noChannelz = "waits for channelz"
		noArgs     = "options are fields with types, not a map of names to pointers"
		noPosition = "nobody gives positions: filters name their neighbours"
	)
	corenames.Check(t, []corenames.Row{
		{"channel_init_test: Empty", "builder_test.go", `"an empty builder"`},
		{"channel_init_test: OneClientFilter", "builder_test.go", `"one terminal filter"`},
		{"channel_init_test: DefaultLexicalOrdering", "builder_test.go", `"names decide where nothing else does"`},
		{"channel_init_test: AfterConstraintsApply", "builder_test.go", `"after"`},
		{"channel_init_test: BeforeConstraintsApply", "builder_test.go", `"before"`},
		{"channel_init_test: PredicatesCanFilter", "builder_test.go", `"a condition that does not hold"`},
		{"channel_init_test: CanAddTerminalFilter", "builder_test.go", `"the terminal filter is last whatever its name"`},
		{"channel_init_test: CanAddMultipleTerminalFilters", "builder_test.go", `"one of two terminal filters"`},
		{"channel_init_test: CanAddMultipleTerminalFilters, both wanted", "builder_test.go", `"two terminal filters"`},
		{"channel_init_test: CanAddBeforeAllOnce", "builder_test.go", `"before all"`},
		{"channel_init_test: CanAddBeforeAllTwice", "builder_test.go", `"two filters before all"`},
		{"channel_init_test: CanPostProcessFilters", "", "whoever builds a stack has the builder in hand"},
		{"channel_init_test: CanCreateFilterWithCall", "stacks/stacks_test.go", "TestUnary"},

		{"channel_stack_test: order and number of the calls of a filter", "builder_test.go", "TestLifeOfAStack"},
		{"channel_stack_test: call data is zeroed", "callstacktest/contract.go", "a block is recycled when the call is over"},
		{"channel_stack_builder_test: UnknownTarget", "", "a builder has no target; errors name the stack"},
		{"channel_stack_builder_test: CanPrepend", "builder_test.go", `"before all"`},
		{"channel_stack_builder_test: CanAppend", "builder_test.go", `"the terminal filter is last whatever its name"`},
		{"channel_stack_builder_test: before and after an iterator", "", noPosition},
		{"minimal_stack_is_minimal_test", "stacks/stacks_test.go", "TestStandardStacks"},
		{"minimal_stack_is_minimal_test: grpc.minimal_stack", "", "there is none: a filter that nothing is configured for is left out of every stack"},

		{"call_finalization_test", "builder_test.go", "TestLifeOfAStack"},
		{"channel_args_test: create, from C args", "", noArgs},
		{"channel_args_test: store pointers, replace, union", "", noArgs},
		{"status_util_test: names and codes", "../layer1_transport/status/code_test.go", "TestCodes"},
		{"status_util_test: StatusCodeSet", "", "waits for retries, whose policies list codes"},
		{"server_call_tracer_factory_test", "probe_test.go", "TestProbe"},
		{"channel_trace_test", "", noChannelz},
		{"channelz_test", "", noChannelz},
		{"channelz_registry_test", "", noChannelz},

		{"client_auth_filter_test: CreateFailsWithoutRequiredChannelArgs", "filters/clientauth/clientauth_test.go", "TestCreateFails"},
		{"client_auth_filter_test: CreateSucceeds", "filters/clientauth/clientauth_test.go", "TestCreateSucceeds"},
		{"client_auth_filter_test: CallCredsFails", "filters/clientauth/clientauth_test.go", "TestCallCredsFails"},
		{"client_auth_filter_test: RewritesInvalidStatusFromCallCreds", "filters/clientauth/clientauth_test.go", "TestRewritesInvalidStatusFromCallCreds"},
		{"client_authority_filter_test: DefaultConfig, the argument is sent", "filters/authority/authority_test.go", `"the channel has a default"`},
		{"client_authority_filter_test: FailsWithoutDefaultAuthorityArg", "filters/authority/authority_test.go", `"nobody knows an authority"`},
		{"client_authority_filter_test: NonStringDefaultAuthorityArg", "", noArgs},
		{"client_authority_filter_test: WithOverride, what is set stays", "filters/authority/authority_test.go", `"the headers' own authority stays"`},
		{"filter_test: a filter that does nothing", "callstacktest/callstacktest_test.go", "TestContractOfNothing"},
		{"filter_test: a filter that fails a call", "stacks/wire_test.go", "TestFaultsOverTheWire"},
	})
}
