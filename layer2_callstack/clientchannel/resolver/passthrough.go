package resolver

// Passthrough gives the endpoint of the target to the dialer as it is. Names
// are then looked up by the dialer, at each attempt.
type Passthrough struct{}

// Scheme returns "passthrough".
func (Passthrough) Scheme() string { return "passthrough" }

// Build reports the one address. An endpoint may be empty, for dialers that
// need no address.
func (Passthrough) Build(t Target, sink Sink, _ Options) (Resolver, error) {
	sink.Update(Result{Addresses: []Address{{Addr: t.Endpoint()}}})
	return static{}, nil
}
