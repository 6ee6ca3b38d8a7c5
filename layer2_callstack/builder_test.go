package callstack_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	transport "github.com/strata-grpc/strata/layer1_transport"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
)

// A named filter does nothing but take note of its life.
type named struct {
	name string
	fail error
	log  *[]string
}

func (f named) Name() string { return f.name }

func (f named) NewChannel(_ *callstack.ChannelArgs, next callstack.ChannelElem) (callstack.ChannelElem, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	return &namedChannel{callstack.ChannelBase{Next: next}, f}, nil
}

type namedChannel struct {
	callstack.ChannelBase
	f named
}

func (ch *namedChannel) NewCall(next callstack.CallElem) callstack.CallElem {
	return &namedCall{callstack.CallBase{Next: next}, ch.f}
}

func (ch *namedChannel) Destroy() { ch.f.note("destroy") }

type namedCall struct {
	callstack.CallBase
	f named
}

func (c *namedCall) Init(*callstack.CallArgs) error {
	c.f.note("init")
	if strings.HasPrefix(c.f.name, "bad") {
		return errors.New(c.f.name)
	}
	return nil
}

func (c *namedCall) Reset() { c.f.note("reset") }

func (f named) note(what string) {
	if f.log != nil {
		*f.log = append(*f.log, what+" "+f.name)
	}
}

// wild is a filter whose NewChannel is a function.
type wild func() (callstack.ChannelElem, error)

func (wild) Name() string { return "wild" }

func (f wild) NewChannel(*callstack.ChannelArgs, callstack.ChannelElem) (callstack.ChannelElem, error) {
	return f()
}

// nameless panics when it is asked for its name.
type nameless struct{ named }

func (nameless) Name() string { panic("no name") }

// checked is a filter whose options are looked at before there is a channel.
type checked struct {
	named
	validate func() error
}

func (f checked) Validate() error { return f.validate() }

// add registers filters of those names without constraints.
func add(b *callstack.Builder, names ...string) {
	for _, n := range names {
		b.Add(named{name: n})
	}
}

func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		name string
		add  func(b *callstack.Builder)
		want string
	}{
		{"one terminal filter", func(b *callstack.Builder) { b.Add(named{name: "a"}).Terminal() }, "a"},
		{"names decide where nothing else does", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			add(b, "c", "a", "b")
		}, "a b c z"},
		{"the terminal filter is last whatever its name", func(b *callstack.Builder) {
			b.Add(named{name: "a"}).Terminal()
			add(b, "c", "b")
		}, "b c a"},
		{"after", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a"}).After("b", "c")
			add(b, "b", "c")
		}, "b c a z"},
		{"before", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "c"}).Before("a", "b")
			add(b, "b", "a")
		}, "c a b z"},
		{"the first name that is free goes next", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a"}).After("c")
			add(b, "b", "c", "d")
		}, "b c a d z"},
		{"before all", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "y"}).BeforeAll().Enabled(true)
			add(b, "a")
		}, "y a z"},
		{"a condition that does not hold", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a"}).If(func(args *callstack.ChannelArgs) bool { return args.Name != "TEST" })
			b.Add(named{name: "b"}).Enabled(true)
			b.Add(named{name: "c"}).Enabled(true).Enabled(false)
		}, "b z"},
		{"a condition that does", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal().If(func(args *callstack.ChannelArgs) bool { return args.Name == "TEST" })
		}, "z"},
		{"a filter that is left out orders the others", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a"}).After("b")
			b.Add(named{name: "b"}).After("c").Enabled(false)
			add(b, "c")
		}, "c a z"},
		{"one of two terminal filters", func(b *callstack.Builder) {
			b.Add(named{name: "x"}).Terminal().Enabled(false)
			b.Add(named{name: "y"}).Terminal()
		}, "y"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := callstack.NewBuilder("TEST")
			tc.add(b)
			for range 2 { // a builder can be used again
				if err := b.Check(callstack.ChannelArgs{}); err != nil {
					t.Errorf("Check failed with %v", err)
				}
				s, err := b.Build(callstack.ChannelArgs{})
				if err != nil {
					t.Fatal(err)
				}
				if got := s.String(); got != "TEST "+tc.want {
					t.Errorf("built %q, want %q", got, "TEST "+tc.want)
				}
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	broken := errors.New("option X is 7")
	for _, tc := range []struct {
		name string
		add  func(b *callstack.Builder)
		want string
	}{
		{"an empty builder", func(*callstack.Builder) {}, "no terminal filter below "},
		{"no terminal filter", func(b *callstack.Builder) { add(b, "b", "a") }, `no terminal filter below "a", "b"`},
		{"two terminal filters", func(b *callstack.Builder) {
			b.Add(named{name: "b"}).Terminal()
			b.Add(named{name: "a"}).Terminal()
		}, `2 terminal filters "a", "b", want one`},
		{"an unknown name after before", func(b *callstack.Builder) { b.Add(named{name: "a"}).Before("x") },
			`filter "a" is to stand before "x", which is not registered; known here are no others`},
		{"an unknown name after after", func(b *callstack.Builder) { b.Add(named{name: "b"}); b.Add(named{name: "a"}).After("x") },
			`filter "a" is to stand after "x", which is not registered; known here are "b"`},
		{"a cycle of two", func(b *callstack.Builder) {
			b.Add(named{name: "b"}).Before("a")
			b.Add(named{name: "a"}).Before("b").Terminal()
		}, `cycle a → b → a: "a" is to stand before "b", "b" is to stand before "a"`},
		{"a cycle of one", func(b *callstack.Builder) { b.Add(named{name: "a"}).After("a") }, `cycle a → a: "a" is to stand after "a"`},
		{"a cycle with filters above and below it", func(b *callstack.Builder) {
			add(b, "a")
			b.Add(named{name: "d"}).After("a", "c")
			b.Add(named{name: "b"}).After("d")
			b.Add(named{name: "c"}).After("b")
			b.Add(named{name: "e"}).After("c")
		}, `cycle b → c → d → b: "c" is to stand after "b", "d" is to stand after "c", "b" is to stand after "d"`},
		{"two filters before all", func(b *callstack.Builder) {
			b.Add(named{name: "b"}).BeforeAll()
			b.Add(named{name: "a"}).BeforeAll()
		}, `2 filters are to stand before all, "a", "b", and one can`},
		{"a terminal filter above another", func(b *callstack.Builder) {
			b.Add(named{name: "t"}).Terminal().Before("a")
			add(b, "a")
		}, `cycle a → t → a: "t" is terminal, "t" is to stand before "a"`},
		{"a filter above the one that is before all", func(b *callstack.Builder) {
			b.Add(named{name: "t"}).BeforeAll()
			b.Add(named{name: "a"}).Before("t")
		}, `cycle a → t → a: "a" is to stand before "t", "t" is to stand before all`},
		{"a name twice", func(b *callstack.Builder) { add(b, "a", "b", "a") }, `filter "a" is registered twice`},
		{"a nil filter", func(b *callstack.Builder) {
			add(b, "a")
			b.Add(nil).After("a")
		}, `a nil filter was added, behind "a"`},
		{"a filter without a name", func(b *callstack.Builder) { add(b, "") }, "a filter of type callstack_test.named without a name was added, as the first"},
		{"a filter whose Name panics", func(b *callstack.Builder) { b.Add(nameless{}) },
			"a filter of type callstack_test.nameless was added, as the first: Name panicked: no name"},
		{"a condition that panics", func(b *callstack.Builder) {
			b.Add(named{name: "a"}).Terminal().If(func(args *callstack.ChannelArgs) bool { return args.Transport.Name() == "x" })
		}, `filter "a": a condition panicked: runtime error: invalid memory address or nil pointer dereference`},
		{"options that are wrong", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(checked{named{name: "a"}, func() error { return broken }})
		}, `filter "a": option X is 7`},
		{"options that are wrong of a filter that is left out", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(checked{named{name: "a"}, func() error { return broken }}).Enabled(false)
		}, `filter "a": option X is 7`},
		{"a terminal filter that is contained", func(b *callstack.Builder) { b.Add(named{name: "a"}).Contained().Terminal() },
			`filter "a": is terminal, and such a filter cannot be contained`},
		{"a terminal filter that is contained and left out", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a"}).Terminal().Contained().Enabled(false)
		}, `filter "a": is terminal, and such a filter cannot be contained`},
		{"NewFilter without a function", func(b *callstack.Builder) { b.Add(callstack.NewFilter("a", nil)).Terminal() },
			`filter "a": NewFilter was given no function`},
		{"a Validate that panics", func(b *callstack.Builder) {
			b.Add(checked{named{name: "a"}, func() error { panic("boom") }}).Terminal()
		}, `filter "a": Validate panicked: boom`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := callstack.NewBuilder("TEST")
			tc.add(b)
			wantBuildError(t, "Check", b.Check(callstack.ChannelArgs{}), tc.want, broken)
			_, err := b.Build(callstack.ChannelArgs{})
			wantBuildError(t, "Build", err, tc.want, broken)
		})
	}
}

// TestNewChannelErrors has faults that Check cannot see, as elements are made.
func TestNewChannelErrors(t *testing.T) {
	broken := errors.New("option X is 7")
	for _, tc := range []struct {
		name string
		add  func(b *callstack.Builder)
		want string
	}{
		{"a filter that refuses its options", func(b *callstack.Builder) {
			b.Add(named{name: "a", fail: broken}).Terminal()
		}, `filter "a": option X is 7`},
		{"a contained filter that refuses its options", func(b *callstack.Builder) {
			b.Add(named{name: "z"}).Terminal()
			b.Add(named{name: "a", fail: broken}).Contained()
		}, `filter "a": option X is 7`},
		{"a filter that panics", func(b *callstack.Builder) {
			b.Add(wild(func() (callstack.ChannelElem, error) { panic("boom") })).Terminal()
		}, `filter "wild": NewChannel panicked: boom`},
		{"a filter without an element", func(b *callstack.Builder) {
			b.Add(wild(func() (callstack.ChannelElem, error) { return nil, nil })).Terminal()
		}, `filter "wild": NewChannel returned no element`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := callstack.NewBuilder("TEST")
			tc.add(b)
			if err := b.Check(callstack.ChannelArgs{}); err != nil {
				t.Errorf("Check made an element: %v", err)
			}
			_, err := b.Build(callstack.ChannelArgs{})
			wantBuildError(t, "Build", err, tc.want, broken)
		})
	}
}

// wantBuildError checks the error of a stack called TEST, which wraps broken if
// it has its text.
func wantBuildError(t *testing.T, who string, err error, want string, broken error) {
	t.Helper()
	if want = "callstack: TEST: " + want; err == nil || err.Error() != want {
		t.Errorf("%s failed with\n%v, want\n%v", who, err, want)
	}
	if strings.Contains(want, broken.Error()) && !errors.Is(err, broken) {
		t.Errorf("%s: the filter's error is not wrapped", who)
	}
}

func TestFailedBuildDestroysWhatItMade(t *testing.T) {
	var log []string
	b := callstack.NewBuilder("TEST")
	b.Add(named{name: "a", log: &log})
	b.Add(named{name: "b", fail: errors.New("no")})
	b.Add(named{name: "c", log: &log})
	b.Add(named{name: "d", log: &log}).Terminal()
	if _, err := b.Build(callstack.ChannelArgs{}); err == nil {
		t.Fatal("Build succeeded")
	}
	if want := []string{"destroy c", "destroy d"}; !slices.Equal(log, want) {
		t.Errorf("the filters saw %q, want %q", log, want)
	}
}

// TestNoCallElement: a filter that is trusted has to make one.
func TestNoCallElement(t *testing.T) {
	b := callstack.NewBuilder("TEST")
	b.Add(callstack.NewFilter("a", func(callstack.CallElem) callstack.CallElem { return nil })).Terminal()
	s, err := b.Build(callstack.ChannelArgs{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p := recover(); p != "callstack: element 0 of TEST a returned no call element" {
			t.Errorf("recovered %v", p)
		}
	}()
	s.NewCall()
	t.Error("NewCall made a stack with a hole")
}

// TestLifeOfAStack shows the order in which elements begin and end, and that
// an error does not keep the elements above from being initialised.
func TestLifeOfAStack(t *testing.T) {
	var log []string
	b := callstack.NewBuilder("TEST")
	for _, name := range []string{"a", "bad1", "bad2"} {
		b.Add(named{name: name, log: &log})
	}
	b.Add(named{name: "z", log: &log}).Terminal()
	s, err := b.Build(callstack.ChannelArgs{})
	if err != nil {
		t.Fatal(err)
	}
	c := s.NewCall()
	c.Args.Path = "/a/b"
	if err := c.Init(); err == nil || err.Error() != "bad2" {
		t.Errorf("Init failed with %v, want the first error", err)
	}
	c.Reset()
	if c.Args != (callstack.CallArgs{}) {
		t.Errorf("Reset left %+v", c.Args)
	}
	s.Destroy()
	want := "init z init bad2 init bad1 init a reset a reset bad1 reset bad2 reset z destroy a destroy bad1 destroy bad2 destroy z"
	if got := strings.Join(log, " "); got != want {
		t.Errorf("the filters saw\n%s, want\n%s", got, want)
	}
}

// TestBuildIsDeterministic registers the same filters in many orders.
func TestBuildIsDeterministic(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	seen := map[string]bool{}
	for first := range names {
		b := callstack.NewBuilder("TEST")
		for i := range names {
			n := names[(first+i)%len(names)]
			r := b.Add(named{name: n})
			switch n {
			case "a":
				r.After("c")
			case "d":
				r.Terminal()
			}
		}
		s, err := b.Build(callstack.ChannelArgs{Transport: transport.Transport(nil)})
		if err != nil {
			t.Fatal(err)
		}
		seen[s.String()] = true
	}
	if len(seen) != 1 || !seen["TEST b c a d"] {
		t.Errorf("built %v, want one order", seen)
	}
}
