package callstack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An order is the registrations of one builder as a graph, for sorting.
type order struct {
	// Set by newOrder: by name, so that an index compares like a name.
	regs []*Registration
	// below[i] are the edges to what must stand below i, waiting[i] is how many
	// must stand above i and are not placed yet.
	below   [][]edge
	waiting []int
}

// An edge says that something must stand above the filter with index to, and
// which rule asks for it.
type edge struct {
	to   int
	rule rule
}

// A rule is a sentence about an edge. It has the names of the filter above and of
// the one below.
type rule string

const (
	ruleBefore   rule = "%[1]q is to stand before %[2]q"
	ruleAfter    rule = "%[2]q is to stand after %[1]q"
	ruleTop      rule = "%[1]q is to stand before all"
	ruleTerminal rule = "%[2]q is terminal"
)

// sort returns all registrations in the order that the constraints ask for,
// from the top, and by name where they leave it open.
func (b *Builder) sort() ([]*Registration, error) {
	o, err := newOrder(b.regs)
	if err != nil {
		return nil, err
	}
	// Kahn's algorithm, always taking the first name that is free.
	sorted := make([]*Registration, 0, len(o.regs))
	placed := make([]bool, len(o.regs))
	for len(sorted) < len(o.regs) {
		next := -1
		for i := range o.regs {
			if !placed[i] && o.waiting[i] == 0 {
				next = i
				break
			}
		}
		if next < 0 {
			return nil, errors.New("cycle " + o.cycle(placed))
		}
		placed[next] = true
		sorted = append(sorted, o.regs[next])
		for _, e := range o.below[next] {
			o.waiting[e.to]--
		}
	}
	return sorted, nil
}

// newOrder checks the registrations and turns their constraints into edges.
func newOrder(regs []*Registration) (*order, error) {
	for i, r := range regs {
		switch {
		case r.filter == nil:
			return nil, fmt.Errorf("a nil filter was added, %s", placeOf(regs, i))
		case r.fault != nil:
			return nil, fmt.Errorf("a filter of type %T was added, %s: %w", r.filter, placeOf(regs, i), r.fault)
		case r.name == "":
			return nil, fmt.Errorf("a filter of type %T without a name was added, %s", r.filter, placeOf(regs, i))
		}
	}
	o := &order{
		regs:    slices.SortedStableFunc(slices.Values(regs), func(a, b *Registration) int { return cmp.Compare(a.name, b.name) }),
		below:   make([][]edge, len(regs)),
		waiting: make([]int, len(regs)),
	}
	index := make(map[string]int, len(regs))
	for i, r := range o.regs {
		if _, twice := index[r.name]; twice {
			return nil, fmt.Errorf("filter %q is registered twice", r.name)
		}
		index[r.name] = i
	}
	for i, r := range o.regs {
		if err := o.constrain(i, r, index); err != nil {
			return nil, err
		}
	}
	return o, o.oneTop()
}

// placeOf says where a filter was added that has no name to tell which it is.
func placeOf(regs []*Registration, i int) string {
	if i == 0 {
		return "as the first"
	}
	return fmt.Sprintf("behind %q", regs[i-1].name)
}

// constrain adds the edges of one registration.
func (o *order) constrain(i int, r *Registration, index map[string]int) error {
	for _, name := range r.before {
		j, ok := index[name]
		if !ok {
			return o.unknown(r, "before", name)
		}
		o.edge(i, j, ruleBefore)
	}
	for _, name := range r.after {
		j, ok := index[name]
		if !ok {
			return o.unknown(r, "after", name)
		}
		o.edge(j, i, ruleAfter)
	}
	for j, other := range o.regs {
		if j != i && r.beforeAll {
			o.edge(i, j, ruleTop)
		}
		if r.terminal && !other.terminal {
			o.edge(j, i, ruleTerminal)
		}
	}
	return nil
}

// unknown is the error of a constraint with a name that nothing has.
func (o *order) unknown(r *Registration, where, name string) error {
	others := slices.DeleteFunc(namesOf(o.regs), func(n string) bool { return n == r.name })
	return fmt.Errorf("filter %q is to stand %s %q, which is not registered; known here are %s",
		r.name, where, name, cmp.Or(quoteNames(others), "no others"))
}

// oneTop returns an error if several filters are to be the first. They would
// be a cycle, which does not say as well what is wrong.
func (o *order) oneTop() error {
	var top []string
	for _, r := range o.regs {
		if r.beforeAll {
			top = append(top, r.name)
		}
	}
	if len(top) > 1 {
		return fmt.Errorf("%d filters are to stand before all, %s, and one can", len(top), quoteNames(top))
	}
	return nil
}

// edge says that above stands above below.
func (o *order) edge(above, below int, r rule) {
	o.below[above] = append(o.below[above], edge{below, r})
	o.waiting[below]++
}

// cycle returns a cycle among what could not be placed, as "a → b → a",
// beginning with its first name, and the constraint behind each arrow.
func (o *order) cycle(placed []bool) string {
	// Everything that is left waits for something that is left, so going
	// upwards must come to the same filter twice.
	above := make([]int, len(o.regs))
	rules := make([]rule, len(o.regs))
	for i := range o.regs {
		if !placed[i] {
			for _, e := range o.below[i] {
				above[e.to], rules[e.to] = i, e.rule
			}
		}
	}
	at := slices.Index(placed, false)
	seen := make([]bool, len(o.regs))
	for ; !seen[at]; at = above[at] {
		seen[at] = true
	}
	loop := []int{at}
	for i := above[at]; i != at; i = above[i] {
		loop = append(loop, i)
	}
	slices.Reverse(loop)
	first := slices.Index(loop, slices.Min(loop))
	loop = append(loop[first:], loop[:first+1]...)
	names, reasons := []string{o.regs[loop[0]].name}, []string{}
	for k, i := range loop[1:] {
		names = append(names, o.regs[i].name)
		reasons = append(reasons, rules[i].about(names[k], names[k+1]))
	}
	return strings.Join(names, " → ") + ": " + strings.Join(reasons, ", ")
}

// about returns the sentence about those filters.
func (r rule) about(above, below string) string {
	return fmt.Sprintf(string(r), above, below)
}

// namesOf returns the names of regs.
func namesOf(regs []*Registration) []string {
	names := make([]string, len(regs))
	for i, r := range regs {
		names[i] = r.name
	}
	return names
}

// quoteNames returns the names as "a", "b".
func quoteNames(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = strconv.Quote(n)
	}
	return strings.Join(quoted, ", ")
}
