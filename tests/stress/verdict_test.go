package stress

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metadata "github.com/strata-grpc/strata/layer1_transport/metadata"
	status "github.com/strata-grpc/strata/layer1_transport/status"
)

const (
	// tooLate is how far past its deadline a call may return: a machine with
	// more to do than it can takes its time.
	tooLate = 2 * time.Second
	// tooEarly is how much before the deadline DEADLINE_EXCEEDED may come.
	tooEarly = 10 * time.Millisecond
	// maxFaults bounds the faults that are reported one by one.
	maxFaults = 20
)

// A verdict is what a run of calls comes to.
type verdict struct {
	t      *testing.T
	open   sync.WaitGroup // calls that have begun and not ended
	faults atomic.Int64

	mu    sync.Mutex
	codes map[status.Code]int
}

// newVerdict returns a verdict on nothing yet.
func newVerdict(t *testing.T) *verdict {
	return &verdict{t: t, codes: make(map[status.Code]int)}
}

// fault reports something that must not be.
func (v *verdict) fault(format string, args ...any) {
	if v.faults.Add(1) <= maxFaults {
		v.t.Errorf(format, args...)
	}
}

// ended judges the end of a call.
func (v *verdict) ended(c *call, err error) {
	code := status.CodeOf(err)
	v.mu.Lock()
	v.codes[code]++
	v.mu.Unlock()

	switch want := c.job.do.code(); {
	case code == want && code != status.OK:
		if text := status.Convert(err).Message(); !strings.Contains(text, c.job.do.says(c.job.caller)) {
			v.fault("%s ended with %v for another reason: %q", c, code, text)
		}
	case code == want:
	case code == status.OK:
		v.fault("%s ended with OK, and its handler with %v", c, want)
	case code == status.Unavailable:
	case code == status.Canceled:
		if c.ctx.Err() == nil && !c.channel.closing.Load() {
			v.fault("%s ended with CANCELLED, which nobody asked for: %v", c, err)
		}
	case code == status.DeadlineExceeded:
		if early := c.limit - time.Since(c.start); early > tooEarly {
			v.fault("%s ended %v before its deadline of %v: %v", c, early, c.limit, err)
		}
	default:
		v.fault("%s: the library invents %v: %v", c, code, err)
	}
}

// returned checks that a call did not take longer than it may.
func (v *verdict) returned(c *call) {
	if late := time.Since(c.start) - c.limit; late > tooLate {
		v.fault("%s took %v more than its deadline of %v", c, late, c.limit)
	}
}

// metadata checks the headers or trailers of a call. They may be missing where
// it failed.
func (v *verdict) metadata(c *call, what string, md metadata.MD, err error) {
	got := md.Get(keyCaller)
	if len(got) == 0 && err != nil {
		return
	}
	if len(got) != 1 || got[0] != c.job.caller {
		v.fault("the %s of %s, which ended with %v, name %q", what, c, err, got)
	}
}

// report logs how calls ended, and fails if none did well.
func (v *verdict) report() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for code := range status.Unauthenticated + 1 {
		if n := v.codes[code]; n > 0 {
			v.t.Logf("%7d %v", n, code)
		}
	}
	if v.codes[status.OK] == 0 {
		v.t.Error("no call succeeded")
	}
	if n := v.faults.Load(); n > maxFaults {
		v.t.Errorf("%d faults in all", n)
	}
}
