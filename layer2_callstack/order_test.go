package callstack_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A filterSpec is one filter of a set with random constraints.
type filterSpec struct {
	name          string
	before, after []string
	terminal      bool
	beforeAll     bool
	left          bool // out of the stack
}

// specsOf reads a set of up to 6 filters out of data, two bytes a filter and one
// for each constraint.
func specsOf(data []byte) []filterSpec {
	next := func() int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b)
	}
	specs := make([]filterSpec, 1+next()%6)
	for i := range specs {
		specs[i].name = string(rune('a' + i))
	}
	for i := range specs {
		kind := next()
		specs[i].terminal, specs[i].beforeAll, specs[i].left = kind%3 == 1, kind%8 == 2, kind%5 == 3
		for n := next() % 3; n > 0; n-- {
			c := next()
			other := specs[c/2%len(specs)].name
			if c%2 == 0 {
				specs[i].before = append(specs[i].before, other)
			} else {
				specs[i].after = append(specs[i].after, other)
			}
		}
	}
	return specs
}

// builderOf registers specs in the order in which they stand.
func builderOf(specs []filterSpec) *callstack.Builder {
	b := callstack.NewBuilder("TEST")
	for _, s := range specs {
		r := b.Add(named{name: s.name}).Before(s.before...).After(s.after...).Enabled(!s.left)
		if s.terminal {
			r.Terminal()
		}
		if s.beforeAll {
			r.BeforeAll()
		}
	}
	return b
}

// asked returns the constraints that put a above b, in the words of the error of
// a cycle.
func asked(a, b filterSpec) []string {
	var all []string
	if slices.Contains(a.before, b.name) {
		all = append(all, fmt.Sprintf("%q is to stand before %q", a.name, b.name))
	}
	if slices.Contains(b.after, a.name) {
		all = append(all, fmt.Sprintf("%q is to stand after %q", b.name, a.name))
	}
	if a.beforeAll && a.name != b.name {
		all = append(all, fmt.Sprintf("%q is to stand before all", a.name))
	}
	if b.terminal && !a.terminal {
		all = append(all, fmt.Sprintf("%q is terminal", b.name))
	}
	return all
}

// holds reports whether the order keeps all constraints.
func holds(order []filterSpec) bool {
	for i, a := range order {
		for _, b := range order[:i+1] { // a itself too: nothing stands above itself
			if len(asked(a, b)) > 0 {
				return false
			}
		}
	}
	return true
}

// firstOrder tries all orders, by name, and returns the first that holds.
func firstOrder(placed, left []filterSpec) []filterSpec {
	switch {
	case !holds(placed):
		return nil // whatever follows
	case len(left) == 0:
		return slices.Clone(placed)
	}
	for i := range left {
		rest := slices.Delete(slices.Clone(left), i, i+1)
		if order := firstOrder(append(placed, left[i]), rest); order != nil {
			return order
		}
	}
	return nil
}

// wantOf returns what a builder of specs has to make of them: the stack as text,
// or the beginning of the error. It knows no graph, it tries.
func wantOf(specs []filterSpec) (stack, fault string) {
	tops := slices.DeleteFunc(slices.Clone(specs), func(s filterSpec) bool { return !s.beforeAll })
	if len(tops) > 1 {
		return "", " filters are to stand before all"
	}
	order := firstOrder(nil, specs)
	if order == nil {
		return "", "callstack: TEST: cycle "
	}
	stack, terminals := "TEST", 0
	for _, s := range order {
		if !s.left {
			stack += " " + s.name
		}
		if !s.left && s.terminal {
			terminals++
		}
	}
	switch terminals {
	case 0:
		return "", "no terminal filter"
	case 1:
		return stack, ""
	}
	return "", fmt.Sprintf("%d terminal filters", terminals)
}

// checkOrder compares what a builder makes of specs with what was found by
// trying, for several orders of registration.
func checkOrder(t *testing.T, specs []filterSpec, r *rand.Rand) {
	t.Helper()
	stack, fault := wantOf(specs)
	for range 3 {
		b := builderOf(specs)
		checked := b.Check(callstack.ChannelArgs{})
		s, err := b.Build(callstack.ChannelArgs{})
		if fmt.Sprint(checked) != fmt.Sprint(err) {
			t.Errorf("%+v:\nCheck says %v, Build %v", specs, checked, err)
		}
		switch {
		case fault == "" && err != nil:
			t.Errorf("%+v:\nBuild failed with %v, want %s", specs, err, stack)
		case fault == "" && s.String() != stack:
			t.Errorf("%+v:\nbuilt %s, want %s", specs, s, stack)
		case fault != "" && (err == nil || !strings.Contains(err.Error(), fault)):
			t.Errorf("%+v:\nBuild gave %v and failed with %v, want %q", specs, s, err, fault)
		case strings.Contains(fault, "cycle"):
			checkCycle(t, specs, err.Error())
		}
		r.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	}
}

// checkCycle checks that each arrow of the cycle is a constraint, and the one
// that the error names.
func checkCycle(t *testing.T, specs []filterSpec, text string) {
	t.Helper()
	_, text, _ = strings.Cut(text, "cycle ")
	loop, reasons, _ := strings.Cut(text, ": ")
	names, whys := strings.Split(loop, " → "), strings.Split(reasons, ", ")
	if len(names) < 2 || names[0] != names[len(names)-1] || len(whys) != len(names)-1 {
		t.Fatalf("%+v:\n%q is no cycle with a reason for each arrow", specs, text)
	}
	byName := map[string]filterSpec{}
	for _, s := range specs {
		byName[s.name] = s
	}
	for i, why := range whys {
		if !slices.Contains(asked(byName[names[i]], byName[names[i+1]]), why) {
			t.Errorf("%+v:\nthe cycle %q has %q, which nobody asked for", specs, text, why)
		}
	}
}

// TestOrderOfRandomSets compares the builder with an oracle that tries all
// orders. Every kind of outcome has to come up.
func TestOrderOfRandomSets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := 10000
	if testing.Short() {
		n = 2000
	}
	seen := map[string]int{}
	data := make([]byte, 32)
	for range n {
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		specs := specsOf(data)
		_, fault := wantOf(specs)
		seen[fault]++
		checkOrder(t, specs, r)
		if t.Failed() {
			return
		}
	}
	for _, fault := range []string{"", "callstack: TEST: cycle ", "no terminal filter", "2 terminal filters", " filters are to stand before all"} {
		if seen[fault] < n/100 {
			t.Errorf("of %d sets only %d ended with %q", n, seen[fault], fault)
		}
	}
}

// FuzzOrder is the same for sets that the fuzzer finds.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{2, 1, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{5, 0, 1, 2, 0, 1, 4, 1, 0, 2, 1, 3})
	f.Add([]byte{3, 0, 2, 2, 3, 0, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		checkOrder(t, specsOf(data), rand.New(rand.NewPCG(3, 4)))
	})
}
