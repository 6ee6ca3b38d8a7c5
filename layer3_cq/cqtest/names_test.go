package cqtest

import (
	"strings"
	"testing"
)

// A coreTest is a test of gRPC core by the name that it has there, and why it
// is not here; empty if a case of the kit has that name.
type coreTest struct{ name, reason string }

const (
	noPollset = "a queue has no pollset and no polling type: the Go runtime polls the network"
	noCache   = "goroutines have no storage of their own, so there is no thread-local cache of one event"
	noMove    = "Go has no move construction; an Alarm must not be copied"
)

// coreTests are the tests of queues and alarms that gRPC core has.
var coreTests = []coreTest{
	// completion_queue_test.cc
	{name: "TestNoOp"},
	{name: "TestPollsetConversion", reason: noPollset},
	{name: "TestWaitEmpty"},
	{name: "TestCqEndOp"},
	{name: "TestCqTlsCacheFull", reason: noCache},
	{name: "TestCqTlsCacheEmpty", reason: noCache},
	{name: "TestShutdownThenNextPolling"},
	{name: "TestShutdownThenNextWithTimeout"},
	{name: "TestPluck"},
	{name: "TestPluckAfterShutdown"},
	{name: "TestCallback"},
	// completion_queue_threading_test.cc
	{name: "TestTooManyPlucks"},
	{name: "TestThreading"},
	// alarm_test.cc, of the C and of the C++ surface
	{name: "test_alarm", reason: "it is RegularExpiry and Cancellation in one function"},
	{name: "RegularExpiry"},
	{name: "RegularExpiryMultiSet"},
	{name: "RegularExpiryMultiSetMultiCQ"},
	{name: "MultithreadedRegularExpiry"},
	{name: "DeprecatedRegularExpiry", reason: "it is RegularExpiry with a constructor that is deprecated, which was not taken over"},
	{name: "MoveConstructor", reason: noMove},
	{name: "MoveAssignment", reason: noMove},
	{name: "RegularExpiryChrono"},
	{name: "ZeroExpiry"},
	{name: "NegativeExpiry"},
	{name: "InfPastExpiry"},
	{name: "Cancellation"},
	{name: "CancellationMultiSet"},
	{name: "SetDestruction"},
	{name: "UnsetDestruction"},
	{name: "CallbackRegularExpiry"},
	{name: "CallbackZeroExpiry"},
	{name: "CallbackNegativeExpiry"},
	{name: "CallbackCancellation"},
	{name: "CallbackCancellationMultiSet"},
	{name: "CallbackCancellationLocked"},
	{name: "CallbackSetDestruction"},
}

// caseNames returns the names of all cases on all types of queue, as go test
// prints them but for the blanks.
func caseNames() (names []string) {
	for _, tc := range cases() {
		for _, kind := range tc.kinds {
			names = append(names, tc.name+"/"+kind.String())
		}
	}
	for _, tc := range alarmCases() {
		for _, kind := range tc.kinds {
			names = append(names, tc.nameOn(kind))
		}
	}
	return names
}

// TestNames: each test of gRPC core is a case here or has a reason not to be.
func TestNames(t *testing.T) {
	have := map[string]bool{}
	seen := map[string]bool{}
	for _, name := range caseNames() {
		if seen[name] {
			t.Errorf("two cases are called %q", name)
		}
		seen[name] = true
		have[coreName(name)] = true
	}
	listed := map[string]bool{"": true}
	for _, ct := range coreTests {
		listed[ct.name] = true
		switch {
		case !have[ct.name] && ct.reason == "":
			t.Errorf("%s is no case of the kit, and no reason is given", ct.name)
		case have[ct.name] && ct.reason != "":
			t.Errorf("%s is a case of the kit, and yet has a reason not to be: %s", ct.name, ct.reason)
		}
	}
	for name := range have {
		// What gRPC core tests on a Next queue may be tested here on a Callback queue, too.
		if !listed[name] && !listed[strings.TrimPrefix(name, "Callback")] {
			t.Errorf("a case is called %s like a test of gRPC core, which has none of that name", name)
		}
	}
}
