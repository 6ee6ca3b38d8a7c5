package faultinjection_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/status"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cfg     faultinjection.Config
		enabled bool
		want    string // empty for no error
	}{
		{"nothing", faultinjection.Config{}, false, ""},
		{"faults that never happen", faultinjection.Config{Delay: 1, AbortCode: status.Internal, Headers: true}, false, ""},
		{"a delay", faultinjection.Config{Delay: 1, DelayPercent: 0.001}, true, ""},
		{"an end", faultinjection.Config{AbortCode: status.Unauthenticated, AbortPercent: 100}, true, ""},
		{"what headers ask for", faultinjection.Config{AbortPercent: 100, DelayPercent: 100, Headers: true}, true, ""},
		{"a negative delay", faultinjection.Config{Delay: -time.Second}, false, "option Delay is -1s, want at least 0"},
		{"less than none", faultinjection.Config{Delay: 1, DelayPercent: -1}, true, "option DelayPercent is -1, want 0 to 100"},
		{"more than all", faultinjection.Config{Delay: 1, DelayPercent: 100.5}, true, "option DelayPercent is 100.5, want 0 to 100"},
		{"no number", faultinjection.Config{Delay: 1, DelayPercent: math.NaN()}, true, "option DelayPercent is NaN, want 0 to 100"},
		{"a delay of no time", faultinjection.Config{DelayPercent: 5}, true, "option Delay is 0 with DelayPercent 5, want a time, or Headers to set it"},
		{"a code that there is not", faultinjection.Config{AbortCode: 17}, false, "option AbortCode is 17, want 1 to 16"},
		{"less ends than none", faultinjection.Config{AbortCode: 1, AbortPercent: -0.5}, true, "option AbortPercent is -0.5, want 0 to 100"},
		{"more ends than all", faultinjection.Config{AbortCode: 1, AbortPercent: math.Inf(1)}, true, "option AbortPercent is +Inf, want 0 to 100"},
		{"an end with OK", faultinjection.Config{AbortPercent: 5}, true, "option AbortCode is OK with AbortPercent 5, want another code, or Headers to set it"},
		{"less faults at once than none", faultinjection.Config{MaxActive: -1}, false, "option MaxActive is -1, want at least 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.cfg.Enabled(); got != tc.enabled {
				t.Errorf("Enabled() = %t, want %t", got, tc.enabled)
			}
			err := tc.cfg.Validate()
			if got := errorText(err); got != tc.want {
				t.Errorf("Validate() = %q, want %q", got, tc.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A result is what becomes of a call without a peer.
type result struct {
	delay time.Duration
	code  status.Code
}

// try begins a call with headers of its own, in a bubble, and returns what becomes
// of it.
func try(t *testing.T, c *callstacktest.Call, tr *callstacktest.Transport, headers ...string) (r result) {
	t.Helper()
	if err := c.Begin(callstacktest.Client.Args()); err != nil {
		t.Fatal(err)
	}
	defer c.Unref()
	start := time.Now()
	b := c.Do(transport.OpSendInitialMetadata|transport.OpRecvTrailingMetadata, func(b *callstacktest.Batch) {
		for i := 0; i < len(headers); i += 2 {
			b.SendHeaders.Append(headers[i], headers[i+1])
		}
	})
	st := tr.Streams()[0]
	for synctest.Wait(); !st.Sent(transport.OpSendInitialMetadata); synctest.Wait() {
		if time.Sleep(time.Millisecond); time.Since(start) > 2*time.Second {
			t.Fatal("nothing was sent")
		}
	}
	r.delay = time.Since(start)
	st.Trailers(nil, nil)
	r.code = status.CodeOf(b.GotTrailers.Err())
	return r
}

// TestPercentages: the share of calls that get a fault is what it should be, of
// numbers that are always the same. None and all are exact, and draw no number.
func TestPercentages(t *testing.T) {
	const calls = 4000
	for _, tc := range []struct {
		delay, abort float64
	}{{0, 0}, {100, 100}, {0, 100}, {100, 0}, {0.5, 0}, {50, 50}, {10, 90}, {99.5, 3}} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			drawn := 0
			c, tr := setup(t, faultinjection.Config{
				Delay: time.Millisecond, DelayPercent: tc.delay, AbortCode: status.Unavailable, AbortPercent: tc.abort,
				Rand: func() float64 { drawn++; return random.Float64() },
			})
			var delayed, aborted, both float64
			for range calls {
				r := try(t, c, tr)
				if r.delay > 0 {
					delayed++
				}
				if r.code != status.OK {
					aborted++
				}
				if r.delay > 0 && r.code != status.OK {
					both++
				}
			}
			numbers := 0
			near := func(what string, got, percent float64) {
				exact := percent == 0 || percent == 100
				if want := percent / 100 * calls; exact && got != want || math.Abs(got-want) > 95 { // 3 standard deviations
					t.Errorf("delay %v %%, abort %v %%: %v of %d calls were %s, want about %v", tc.delay, tc.abort, got, calls, what, want)
				}
				if !exact {
					numbers += calls
				}
			}
			near("delayed", delayed, tc.delay)
			near("aborted", aborted, tc.abort)
			if numbers != drawn {
				t.Errorf("delay %v %%, abort %v %%: %d numbers were drawn, want %d", tc.delay, tc.abort, drawn, numbers)
			}
			near("both", both, tc.delay*tc.abort/100)
		})
	}
}

// TestOwnRand: without a function in the configuration there are numbers as well.
func TestOwnRand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, tr := setup(t, faultinjection.Config{AbortCode: status.Unavailable, AbortPercent: 50})
		ends := map[status.Code]int{}
		for range 1000 {
			ends[try(t, c, tr).code]++
		}
		if ends[status.OK] < 400 || ends[status.Unavailable] < 400 {
			t.Errorf("calls ended with %v, want half of them with each", ends)
		}
	})
}

// TestHeaders is what a call can ask for, by a configuration.
func TestHeaders(t *testing.T) {
	const (
		delay, delayPercent = faultinjection.HeaderDelay, faultinjection.HeaderDelayPercent
		abort, abortPercent = faultinjection.HeaderAbort, faultinjection.HeaderAbortPercent
	)
	open := faultinjection.Config{DelayPercent: 100, AbortPercent: 100, Headers: true}
	set := faultinjection.Config{Delay: time.Second, DelayPercent: 100, AbortCode: status.Unavailable, AbortPercent: 100, Headers: true}
	none := result{0, status.OK}
	for _, tc := range []struct {
		name    string
		cfg     faultinjection.Config
		headers string
		want    result
	}{
		{"nothing", open, "", none},
		{"other headers", open, "a b", none},
		{"a delay", open, delay + " 250", result{250 * time.Millisecond, status.OK}},
		{"an end", open, abort + " 8", result{0, status.ResourceExhausted}},
		{"both", open, delay + " 20 " + abort + " 5", result{20 * time.Millisecond, status.NotFound}},
		{"both, for none of the calls", open, delay + " 20 " + delayPercent + " 0 " + abort + " 5 " + abortPercent + " 0", none},
		{"an end, for all of the calls", open, abort + " 5 " + abortPercent + " 100", result{0, status.NotFound}},
		{"an end with OK", open, abort + " 0", none},
		{"an end with a code that there is not", open, abort + " 17", none},
		{"an end with a name", open, abort + " NOT_FOUND", none},
		{"a delay of less than none", open, delay + " -5", none},
		{"a delay of no whole number", open, delay + " 1.5", none},
		{"a delay that is too large a number", open, delay + " 4294967296", none},
		{"an empty delay", open, delay + " ", none},
		{"what is configured counts", set, delay + " 20 " + abort + " 5", result{time.Second, status.Unavailable}},
		{"for none of the calls", set, delayPercent + " 0 " + abortPercent + " 0", none},
		{"a percentage that is no number", set, delayPercent + " none " + abortPercent + " -1", result{time.Second, status.Unavailable}},
		{"percentages can only be less", faultinjection.Config{Delay: 1, AbortCode: 1, AbortPercent: 1, Headers: true, Rand: func() float64 { return 0.5 }},
			delayPercent + " 100 " + abortPercent + " 100", none},
		{"headers that nobody asked about", faultinjection.Config{Delay: time.Second, DelayPercent: 100},
			delayPercent + " 0 " + abort + " 5", result{time.Second, status.OK}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, tr := setup(t, tc.cfg)
				var headers []string
				if tc.headers != "" {
					headers = strings.Split(tc.headers, " ")
				}
				if got := try(t, c, tr, headers...); got != tc.want {
					t.Errorf("a call with headers %v was delayed by %v and ended with %v, want %v and %v",
						headers, got.delay, got.code, tc.want.delay, tc.want.code)
				}
			})
		})
	}
}

// TestChances: for none and for all nothing is drawn; without a Rand there is one, which
// is about right. A header may ask for the last code and for no other.
func TestChances(t *testing.T) {
	drawn := func(cfg faultinjection.Config, code string) (aborted int) {
		tr := &callstacktest.Transport{}
		c := callstacktest.NewCall(callstacktest.Build(t, tr, faultinjection.New(cfg)))
		for range 1000 {
			if err := c.Begin(callstacktest.Client.Args()); err != nil {
				t.Fatal(err)
			}
			c.Do(transport.OpSendInitialMetadata, func(b *callstacktest.Batch) { b.SendHeaders.Append(faultinjection.HeaderAbort, code) })
			if err := tr.Streams()[0].Canceled(); err != nil {
				aborted++
				if status.CodeOf(err) != status.Unauthenticated || err.Error() != "fault_injection: fault injected by the client" {
					t.Errorf("a call ended with %v", err)
				}
			}
			c.Unref()
		}
		return aborted
	}
	never := func() float64 {
		t.Error("a number was drawn")
		return 0
	}
	for _, tc := range []struct {
		name        string
		cfg         faultinjection.Config
		code        string
		least, most int
	}{
		{"all", faultinjection.Config{AbortPercent: 100, Headers: true, Rand: never}, "16", 1000, 1000},
		{"none", faultinjection.Config{DelayPercent: 100, Headers: true, Rand: never}, "16", 0, 0},
		{"a code that there is not", faultinjection.Config{AbortPercent: 100, Headers: true, Rand: never}, "17", 0, 0},
		{"few", faultinjection.Config{AbortPercent: 10, Headers: true}, "16", 10, 300},
	} {
		if got := drawn(tc.cfg, tc.code); got < tc.least || got > tc.most {
			t.Errorf("%s: %d of 1000 calls ended, want %d to %d", tc.name, got, tc.least, tc.most)
		}
	}
}
