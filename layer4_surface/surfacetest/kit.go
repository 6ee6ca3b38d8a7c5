package surfacetest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	surface "github.com/strata-grpc/strata/layer4_surface"
)

// A testCase is one test of gRPC core's suite.
type testCase struct {
	// file and name are those of gRPC core: test/core/end2end/tests/file.cc
	// has a CORE_END2END_TEST called name.
	file, name string

	// needs is what a fixture has to be able to do.
	needs []Capability

	// waits says which part of this project the case waits for. Such a case
	// has no test, and a row in the table that says so.
	waits string

	// server and channel are options of the ends that the case begins with.
	server  []surface.ServerOption
	channel []surface.ChannelOption

	// bare says that the case makes server and channel itself.
	bare bool

	test func(r *rig)
}

// lacking returns the first capability that tc needs and f lacks.
func (tc *testCase) lacking(f *Fixture) (c Capability, lacks bool) {
	for _, c := range tc.needs {
		if slices.Contains(f.Lacks, c) || c == Minutes && !f.Virtual {
			return c, true
		}
	}
	return "", false
}

// lacks words what f cannot have.
func (f *Fixture) lacks() string {
	var words []string
	for _, c := range f.Lacks {
		words = append(words, string(c))
	}
	if !f.Virtual {
		words = append(words, string(Minutes))
	}
	return strings.Join(words, ", ")
}

// suite lists all cases in the order of the table, those of one file together.
func suite() []testCase {
	cases := slices.Concat(
		basicCases(),
		metadataCases(),
		streamingCases(),
		bufferingCases(),
		shapeCases(),
		filterCases(),
		cancelCases(),
		deadlineCases(),
		shutdownCases(),
		connectionCases(),
		pingCases(),
		ageCases(),
		compressionCases(),
		credsCases(),
		waitingCases(),
	)
	place := map[string]int{}
	for _, tc := range cases {
		if _, placed := place[tc.file]; !placed {
			place[tc.file] = len(place)
		}
	}
	slices.SortStableFunc(cases, func(a, b testCase) int { return place[a.file] - place[b.file] })
	return cases
}

// Run runs the suite over each fixture and returns how every case ended. A
// subtest is called fixture/file/name.
func Run(t *testing.T, fixtures ...Fixture) *Report {
	t.Helper()
	report := newReport(fixtures)
	for i := range fixtures {
		f := &fixtures[i]
		t.Run(f.Name, func(t *testing.T) {
			for _, tc := range suite() {
				report.set(&tc, f, runCase(t, &tc, f))
			}
		})
	}
	return report
}

// runCase runs one case over one fixture.
func runCase(t *testing.T, tc *testCase, f *Fixture) outcome {
	if tc.test == nil {
		return waits
	}
	if _, lacks := tc.lacking(f); lacks {
		return cannot
	}
	for scale := time.Duration(1); ; scale *= 4 {
		result, tooSlow := runOnce(t, tc, f, scale)
		if !tooSlow {
			return result
		}
		if scale >= maxScale {
			t.Errorf("%s/%s is too slow to be judged", tc.file, tc.name)
			return failed
		}
	}
}

// maxScale bounds how much time a case gets where a deadline is meant to pass.
const maxScale = 64

// runOnce runs one case with deadlines that are scale times the usual.
func runOnce(t *testing.T, tc *testCase, f *Fixture, scale time.Duration) (result outcome, tooSlow bool) {
	ran := false
	ok := t.Run(tc.file+"/"+tc.name, func(t *testing.T) {
		ran = true
		body := func(t *testing.T) {
			r := newRig(t, f, tc, scale)
			defer func() { tooSlow = r.tooSlow }()
			tc.test(r)
		}
		if f.Virtual {
			synctest.Test(t, body)
		} else {
			body(t)
		}
	})
	switch {
	case !ran: // left out by -run
		return notRun, false
	case ok:
		return passed, tooSlow
	default:
		return failed, false
	}
}
