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
	// below[i] are the indexes of what must stand below i, waiting[i] is how
	// many must stand above i and are not placed yet.
	below   [][]int
	waiting []int
}

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
		for _, i := range o.below[next] {
			o.waiting[i]--
		}
	}
	return sorted, nil
}

// newOrder checks the registrations and turns their constraints into edges.
func newOrder(regs []*Registration) (*order, error) {
	for i, r := range regs {
		if r.filter == nil {
			return nil, fmt.Errorf("registration %d has a nil filter", i)
		}
		if r.name == "" {
			return nil, fmt.Errorf("registration %d, a %T, has no name", i, r.filter)
		}
	}
	o := &order{
		regs:    slices.SortedStableFunc(slices.Values(regs), func(a, b *Registration) int { return cmp.Compare(a.name, b.name) }),
		below:   make([][]int, len(regs)),
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
	return o, nil
}

// constrain adds the edges of one registration.
func (o *order) constrain(i int, r *Registration, index map[string]int) error {
	for _, name := range r.before {
		j, ok := index[name]
		if !ok {
			return fmt.Errorf("filter %q is to stand before %q, which is not registered", r.name, name)
		}
		o.edge(i, j)
	}
	for _, name := range r.after {
		j, ok := index[name]
		if !ok {
			return fmt.Errorf("filter %q is to stand after %q, which is not registered", r.name, name)
		}
		o.edge(j, i)
	}
	for j, other := range o.regs {
		if j != i && r.beforeAll {
			o.edge(i, j)
		}
		if r.terminal && !other.terminal {
			o.edge(j, i)
		}
	}
	return nil
}

// edge says that above stands above below.
func (o *order) edge(above, below int) {
	o.below[above] = append(o.below[above], below)
	o.waiting[below]++
}

// cycle returns a cycle among what could not be placed, as "a → b → a",
// beginning with its first name.
func (o *order) cycle(placed []bool) string {
	// Everything that is left waits for something that is left, so going
	// upwards must come to the same filter twice.
	above := make([]int, len(o.regs))
	for i := range o.regs {
		if !placed[i] {
			for _, j := range o.below[i] {
				above[j] = i
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
	names := make([]string, len(loop))
	for k, i := range loop {
		names[k] = o.regs[i].name
	}
	return strings.Join(names, " → ")
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
