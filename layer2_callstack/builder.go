package callstack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// A Builder assembles a channel stack from filters that say where they want to
// stand. Nobody gives positions: each filter names its neighbours, and the
// order follows.
//
//	b := callstack.NewBuilder("SERVER")
//	b.Add(httpserver.New()).After("deadline")
//	b.Add(deadline.New())
//	b.Add(connected.New()).Terminal()
//	stack, err := b.Build(args)
//
// Filters that no constraint tells apart stand in the order of their names, so
// that the same registrations always give the same stack. A Builder may build
// any number of stacks; it is not safe for concurrent use while filters are added.
type Builder struct {
	name string
	regs []*Registration
}

// NewBuilder returns a builder of stacks that call themselves name in errors
// and traces, such as "CLIENT_SUBCHANNEL".
func NewBuilder(name string) *Builder { return &Builder{name: name} }

// A Registration is one filter with its constraints. Its methods add to them
// and return it, so that they can be chained. Mistakes are reported by Check and Build.
type Registration struct {
	filter        Filter
	name          string
	fault         error // of asking for the name
	before, after []string
	preds         []func(*ChannelArgs) bool
	terminal      bool
	beforeAll     bool
	contained     bool
}

// Add registers f. Each name may be registered once.
func (b *Builder) Add(f Filter) *Registration {
	r := &Registration{filter: f}
	if f != nil {
		r.fault = contain("Name", func() error {
			r.name = f.Name()
			return nil
		})
	}
	b.regs = append(b.regs, r)
	return r
}

// Before places the filter above those named, which must be registered.
func (r *Registration) Before(names ...string) *Registration {
	r.before = append(r.before, names...)
	return r
}

// After places the filter below those named, which must be registered.
func (r *Registration) After(names ...string) *Registration {
	r.after = append(r.after, names...)
	return r
}

// BeforeAll places the filter at the top. One filter of a stack can ask for it.
func (r *Registration) BeforeAll() *Registration {
	r.beforeAll = true
	return r
}

// Terminal says that the filter ends the stack: it is given no next element.
// Of the terminal filters whose conditions hold there must be exactly one.
func (r *Registration) Terminal() *Registration {
	r.terminal = true
	return r
}

// Contained puts a guard around the filter, so that what it does wrong ends at most
// the call at hand, with an error that names the filter: for filters of users,
// which may be wrong. It is not for a terminal filter. Without it a filter is
// trusted, and a fault of its ends the process or leaves calls that never end.
func (r *Registration) Contained() *Registration {
	r.contained = true
	return r
}

// If leaves the filter out of stacks for which pred is false. Several
// conditions must all hold. Constraints that name a filter which is left out
// still order the others.
func (r *Registration) If(pred func(args *ChannelArgs) bool) *Registration {
	r.preds = append(r.preds, pred)
	return r
}

// Enabled leaves the filter out of every stack unless on is true.
func (r *Registration) Enabled(on bool) *Registration {
	return r.If(func(*ChannelArgs) bool { return on })
}

// wanted reports whether all conditions of r hold. They may be a user's code.
func (r *Registration) wanted(args *ChannelArgs) (all bool, err error) {
	err = contain("a condition", func() error {
		for _, pred := range r.preds {
			if !pred(args) {
				return nil
			}
		}
		all = true
		return nil
	})
	return all, err
}

// Check returns the error that Build returns for args, without making an
// element: constraints that cannot be met, and options that [Validator] finds
// wrong. What Build can fail with after that is what a NewChannel returns.
//
// Whoever builds a stack for each connection calls it before the first one, so
// that its user learns at once of what would fail every connection. args need no
// Transport then, if the conditions of the filters allow that.
func (b *Builder) Check(args ChannelArgs) error {
	args.Name = b.name
	_, err := b.choose(&args)
	return b.named(err)
}

// Build returns a stack of the filters whose conditions hold for args. An error
// names the stack, the filter and the constraint that cannot be met; nothing
// of the stack is left then.
func (b *Builder) Build(args ChannelArgs) (*ChannelStack, error) {
	args.Name = b.name
	if args.Faults == nil {
		args.Faults = NewFaultLog(args.Logger)
	}
	s := &ChannelStack{args: args}
	chosen, err := b.choose(&s.args)
	if err == nil {
		err = s.fill(chosen)
	}
	if err != nil {
		return nil, b.named(err)
	}
	if args.Trace != nil {
		args.Trace.Emit(&trace.Event{Layer: 2, Component: "callstack", Op: "stack.build", Text: s.String()})
	}
	return s, nil
}

// named says in err which stack it is about.
func (b *Builder) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("callstack: %s: %w", b.name, err)
}

// choose returns the registrations of one stack, from the top.
func (b *Builder) choose(args *ChannelArgs) ([]*Registration, error) {
	sorted, err := b.sort()
	if err != nil {
		return nil, err
	}
	// Options are looked at and conditions asked after sorting: a filter that is
	// left out may be wrong, and keeps the order of those around it.
	var chosen []*Registration
	var terminals []string
	for _, r := range sorted {
		wanted := false
		if err = r.validate(); err == nil {
			wanted, err = r.wanted(args)
		}
		if err != nil {
			return nil, fmt.Errorf("filter %q: %w", r.name, err)
		}
		if wanted {
			chosen = append(chosen, r)
		}
		if wanted && r.terminal {
			terminals = append(terminals, r.name)
		}
	}
	switch len(terminals) {
	case 1:
		return chosen, nil
	case 0:
		return nil, fmt.Errorf("no terminal filter below %s", quoteNames(namesOf(chosen)))
	default:
		return nil, fmt.Errorf("%d terminal filters %s, want one", len(terminals), quoteNames(terminals))
	}
}

// validate looks at what the filter was registered with, and asks it whether its
// options are right.
func (r *Registration) validate() error {
	if r.contained && r.terminal {
		return errors.New("is terminal, and such a filter cannot be contained")
	}
	v, ok := r.filter.(Validator)
	if !ok {
		return nil
	}
	return contain("Validate", v.Validate)
}

// fill makes the elements, from the bottom, since each is given the next one.
func (s *ChannelStack) fill(chosen []*Registration) error {
	s.names = namesOf(chosen)
	var next ChannelElem
	for _, r := range slices.Backward(chosen) {
		e, err := r.newElem(&s.args, next)
		if err != nil {
			slices.Reverse(s.elems)
			s.Destroy()
			return fmt.Errorf("filter %q: %w", r.name, err)
		}
		s.elems = append(s.elems, e)
		next = e
		if s.args.Trace != nil {
			next = newProbe(s.args.Trace, r.name, e)
			s.elems = append(s.elems, next)
		}
	}
	slices.Reverse(s.elems)
	return nil
}

// newElem makes the element of a filter, inside a guard if it is contained.
func (r *Registration) newElem(args *ChannelArgs, next ChannelElem) (ChannelElem, error) {
	if r.contained {
		return newGuard(r.filter, r.name, args, next)
	}
	return newChannel(r.filter, args, next)
}

// newChannel calls f.NewChannel, which may be a user's code.
func newChannel(f Filter, args *ChannelArgs, next ChannelElem) (e ChannelElem, err error) {
	err = contain("NewChannel", func() (err error) {
		e, err = f.NewChannel(args, next)
		if err == nil && e == nil {
			err = errors.New("NewChannel returned no element")
		}
		return err
	})
	return e, err
}

// contain calls f, which runs a user's code, and turns its panic into an error.
func contain(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %v", what, p)
		}
	}()
	return f()
}
