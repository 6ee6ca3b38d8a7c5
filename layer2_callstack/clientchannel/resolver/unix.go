package resolver

import "fmt"

// unixBuilder is the scheme unix, "unix:relative/path" or "unix:///absolute",
// or unix-abstract, "unix-abstract:name" for a socket without a file.
type unixBuilder struct {
	scheme string
	prefix string // what package net writes before the name
}

func (b unixBuilder) Scheme() string { return b.scheme }

func (b unixBuilder) Validate(t Target) error {
	if t.Authority != "" {
		return fmt.Errorf("resolver: target %q: %q stands where %s has no authority; an absolute path needs three slashes, as in unix:///path",
			t.Raw, t.Authority, b.scheme)
	}
	if t.Path == "" {
		return fmt.Errorf("resolver: target %q names no socket", t.Raw)
	}
	return nil
}

func (b unixBuilder) Build(t Target, sink Sink, _ Options) (Resolver, error) {
	if err := b.Validate(t); err != nil {
		return nil, err
	}
	sink.Update(Result{Addresses: []Address{{Network: "unix", Addr: b.prefix + t.Path}}})
	return static{}, nil
}

// Authority is "localhost": the path of a socket is no host name.
func (unixBuilder) Authority(Target) string { return "localhost" }
