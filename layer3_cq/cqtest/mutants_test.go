package cqtest

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mutantEnv carries a mistake to the process that has to find it.
const mutantEnv = "STRATA_CQTEST_MUTANT"

// A mutant is a reference with one mistake, and cases that find it: the
// beginnings of their names, each with all types of queue it is for or, after
// " @", with one.
type mutant struct {
	mistake string
	found   []string
	hangs   bool // outside what a bubble sees, so that only the clock ends it
}

var mutants = []mutant{
	// Counting.
	{mistake: "the count starts at zero", found: []string{"TestNoOp", "the count starts at one"}},
	{mistake: "BeginOp succeeds on a queue that has shut down", found: []string{
		"BeginOp succeeds after Shutdown until", "Set on a queue that has shut down"}},
	{mistake: "BeginOp fails once Shutdown was called", found: []string{
		"BeginOp succeeds after Shutdown until", "the queue has not shut down before its last functor", "a functor may set"}},
	{mistake: "each Shutdown counts", found: []string{"Shutdown from several goroutines counts once"}},
	{mistake: "a Shutdown after the end tells of it again", found: []string{"Shutdown from several goroutines amid"}},
	{mistake: "Shutdown does not wait for what is outstanding", found: []string{
		"events begun before Shutdown", "shutdown wakes every waiter"}},
	{mistake: "Drain does not shut down", found: []string{"TestNoOp"}},
	{mistake: "Drain does not wait for what is outstanding", found: []string{"Drain takes what is left", "Drain waits for an alarm @NEXT"}},
	// Delivery.
	{mistake: "an event is lost", found: []string{"events come in the order", "TestPluck: ", "TestThreading", "as many events wake"}},
	{mistake: "an event is delivered twice", found: []string{"events come in the order", "TestThreading", "many callers pluck", "callers that give up and come again"}},
	{mistake: "success is lost", found: []string{"TestCqEndOp", "TestCallback", "Cancellation: ", "SetDestruction", "CallbackSetDestruction"}},
	{mistake: "the newest event comes first", found: []string{"events come in the order", "of two events of one tag"}},
	{mistake: "of two events of one tag the newer comes first", found: []string{"of two events of one tag"}},
	{mistake: "an event that is not the oldest takes its successor with it", found: []string{"TestPluck: ", "storage taken from amid"}},
	{mistake: "tags are compared as text", found: []string{"tags are compared with =="}},
	{mistake: "each waiter for a tag gets the event", found: []string{"of two waiters for one tag"}},
	{mistake: "Drain takes what others wait for", found: []string{"Drain leaves an event"}},
	// Waking.
	{mistake: "EndOp wakes nobody", found: []string{"a waiter gets the event that ends later", "CancellationMultiSet @NEXT"}},
	{mistake: "EndOp wakes one waiter, whatever its tag", found: []string{"an event goes to the waiter for its tag"}},
	{mistake: "EndOp wakes a waiter only if the queue was empty", found: []string{"as many events wake"}},
	{mistake: "a caller does not look again before it parks", found: []string{"a caller that begins to wait as its event comes @NEXT"}},
	{mistake: "a wake-up goes to a waiter that gave up", found: []string{"a waiter that gave up takes no event"}},
	{mistake: "shutdown wakes nobody", found: []string{"a waiter that had an event is told of the shutdown"}},
	{mistake: "shutdown wakes one waiter", found: []string{"shutdown wakes every waiter"}},
	// Limits.
	{mistake: "an empty queue says shutdown", found: []string{"TestWaitEmpty", "TryNext never waits", "a wait ends when done"}},
	{mistake: "a past deadline beats an event", found: []string{"a deadline in the past still returns"}},
	{mistake: "a past deadline beats shutdown", found: []string{"TestShutdownThenNextPolling", "TestPluckAfterShutdown"}},
	{mistake: "shutdown beats an event", found: []string{"a deadline in the past still returns", "events begun before Shutdown"}},
	{mistake: "shutdown is not told to who waits for ever", found: []string{"TestShutdownThenNextWithTimeout", "TestPluckAfterShutdown", "a queue that has shut down does not wait"}},
	{mistake: "shutdown waits until all events were taken", found: []string{"a queue that has shut down does not wait"}},
	{mistake: "a wait ends late", found: []string{"a wait ends at its deadline exactly"}},
	{mistake: "a wait does not end when done is closed", found: []string{"a wait ends when done"}},
	{mistake: "an event that meets the deadline is lost", found: []string{"an event that meets a deadline"}},
	{mistake: "TryNext waits for a moment", found: []string{"TryNext never waits"}},
	{mistake: "there is no limit of pluckers", found: []string{"TestTooManyPlucks"}},
	// Finalizers, functors, observers, misuse.
	{mistake: "the finalizer runs at EndOp", found: []string{"the finalizer runs when the event is dequeued"}},
	{mistake: "the finalizer runs under the lock", found: []string{"the finalizer runs when the event is dequeued @NEXT"}, hangs: true},
	{mistake: "the finalizer runs after the functor", found: []string{"the finalizer runs before the functor"}},
	{mistake: "the functor runs on a goroutine of its own", found: []string{"the functor runs before EndOp returns"}},
	{mistake: "the count is given up before the functor ran", found: []string{"the queue has not shut down before its last functor"}},
	{mistake: "a functor that does not return is counted for ever", found: []string{"a functor that ends its goroutine"}},
	{mistake: "the shutdown functor does not run", found: []string{"TestCallback", "Shutdown from several goroutines amid @CALLBACK"}},
	{mistake: "the observer is not told of the making of a queue", found: []string{"the observer is told @NEXT"}},
	{mistake: "the observer is not told of a timeout", found: []string{"the observer is told @NEXT", "the observer is told @PLUCK"}},
	{mistake: "the observer is not told of the event of a callback", found: []string{"the observer is told @CALLBACK"}},
	{mistake: "misuse goes unnoticed", found: []string{"misuse panics: "}},
	{mistake: "the text of a misuse does not name the queue", found: []string{"misuse panics: "}},
	// Alarms.
	{mistake: "an expiry has no success", found: []string{"RegularExpiry: ", "CallbackRegularExpiry: ", "ZeroExpiry", "CallbackZeroExpiry",
		"NegativeExpiry", "CallbackNegativeExpiry", "MultithreadedRegularExpiry", "RegularExpiryMultiSetMultiCQ"}},
	{mistake: "an alarm expires late", found: []string{"RegularExpiry: ", "ZeroExpiry", "Drain waits for an alarm"}},
	{mistake: "a past deadline never comes", found: []string{"ZeroExpiry", "NegativeExpiry", "InfPastExpiry", "CallbackInfPastExpiry"}},
	{mistake: "a deadline of the wall clock never comes", found: []string{"RegularExpiryChrono"}},
	{mistake: "the zero deadline has passed", found: []string{"the zero deadline never comes"}},
	{mistake: "an alarm can be set once", found: []string{"RegularExpiryMultiSet: ", "RegularExpiryMultiSetMultiCQ", "CancellationMultiSet"}},
	{mistake: "a Set that failed leaves the alarm busy", found: []string{"Set on a queue that has shut down"}},
	{mistake: "a Set that panicked leaves the alarm busy", found: []string{"an alarm is as it was after BeginOp panicked"}},
	{mistake: "Cancel does nothing", found: []string{"Cancellation: ", "CallbackCancellation: ", "SetDestruction"}},
	{mistake: "a cancellation has success", found: []string{"Cancellation: ", "CallbackCancellation: ", "CallbackCancellationMultiSet", "of many Cancels at once"}},
	{mistake: "a Cancel makes an event in any case", found: []string{"Cancel before Set and after the expiry", "a Cancel that meets the expiry @NEXT", "of many Cancels at once", "UnsetDestruction"}},
	{mistake: "Close does not cancel", found: []string{"SetDestruction", "CallbackSetDestruction"}},
	{mistake: "a Close amid Set is forgotten", found: []string{"a Close amid Set"}},
	{mistake: "a cancellation runs inside Cancel", found: []string{"CallbackCancellationLocked"}, hangs: true},
	{mistake: "an expiry runs inside Set", found: []string{"CallbackCancellationLocked"}, hangs: true},
}

// TestMutant is what a process with a mistake runs.
func TestMutant(t *testing.T) {
	mistake := os.Getenv(mutantEnv)
	if mistake == "" {
		t.Skip("TestMutants runs it, in a process of its own")
	}
	Run(t, newReference(mistake))
	RunAlarm(t, newReference(mistake), newRefAlarm(mistake))
}

// TestMutants makes each mistake and wants each case that is to find it to
// fail; and it wants each case of the kit to find one.
func TestMutants(t *testing.T) {
	names := caseNames()
	finds := map[string]bool{}
	limit := make(chan struct{}, 4)
	var running sync.WaitGroup
	for _, m := range mutants {
		var found []string
		for _, f := range m.found {
			begin, kind, _ := strings.Cut(f, " @")
			n := len(found)
			for _, name := range names {
				if strings.HasPrefix(name, begin) && strings.HasSuffix(name, kind) {
					found = append(found, name)
					finds[sentence(name)] = true
				}
			}
			if len(found) == n {
				t.Errorf("%s: no case is called %q", m.mistake, f)
			}
		}
		limit <- struct{}{}
		running.Go(func() {
			defer func() { <-limit }()
			for _, survivor := range m.survives(found) {
				t.Errorf("the mistake %q was not found by the case %q", m.mistake, survivor)
			}
		})
	}
	running.Wait()
	for _, name := range names {
		if !finds[sentence(name)] {
			t.Errorf("no mistake shows that the case %q can fail", name)
		}
	}
}

// sentence returns the name of a case without the type of queue.
func sentence(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return strings.TrimPrefix(name, "Callback")
}

// survives returns those of the cases that do not find the mistake. Most often
// one process tells; a case that ends its process is asked alone.
func (m *mutant) survives(cases []string) (survivors []string) {
	failed := func(out, name string) bool {
		return strings.Contains(out, "--- FAIL: TestMutant/"+strings.ReplaceAll(name, " ", "_")+" (")
	}
	out := ""
	if len(cases) > 1 {
		out, _ = m.run(cases)
	}
	for _, name := range cases {
		if failed(out, name) {
			continue
		}
		alone, err := m.run([]string{name})
		ran := strings.Contains(alone, "=== RUN   TestMutant/"+strings.ReplaceAll(name, " ", "_")+"\n")
		if err == nil || !ran {
			survivors = append(survivors, name)
		}
	}
	return survivors
}

// run runs cases on the mutant in a process of its own.
func (m *mutant) run(cases []string) (out string, err error) {
	var sentences, kinds []string
	for _, name := range cases {
		sentence, kind, _ := strings.Cut(name, "/")
		sentences = append(sentences, regexp.QuoteMeta(sentence))
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	only := "^TestMutant$/^(" + strings.Join(slices.Compact(sentences), "|") + ")$/^(" + strings.Join(slices.Compact(kinds), "|") + ")$"
	timeout := "30s" // ends no case but one that hangs against expectation
	if m.hangs {
		timeout = "3s"
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.short", "-test.run="+only, "-test.timeout="+timeout)
	cmd.Env = append(os.Environ(), mutantEnv+"="+m.mistake)
	b, err := cmd.CombinedOutput()
	return string(b), err
}
