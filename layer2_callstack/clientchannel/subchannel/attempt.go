package subchannel

import callstack "github.com/strata-grpc/strata/layer2_callstack"

// An Attempt is the memory of one call on one connection: the call stack of the
// subchannel and in it the transport's stream. It is recycled when the call has
// let go of it and the transport has too.
type Attempt struct {
	callstack.Block
	// Stack is the subchannel's. Its Args.Owner is the attempt.
	Stack *callstack.CallStack

	conn *Conn
}

// NewAttempt returns an attempt on the present connection, with one reference
// and not initialised, or nil if there is none.
func (s *Subchannel) NewAttempt() *Attempt {
	c := s.conn.Load()
	if c == nil || !c.tryRef() {
		return nil
	}
	a, _ := c.attempts.Get().(*Attempt)
	if a == nil {
		a = &Attempt{Stack: c.stack.NewCall(), conn: c}
		a.Bind(a)
	}
	a.Start()
	return a
}

// Conn returns the present connection, nil if there is none.
func (s *Subchannel) Conn() *Conn { return s.conn.Load() }

// Conn returns the connection of the attempt.
func (a *Attempt) Conn() *Conn { return a.conn }

// Recycle puts the attempt back, unless something may still refer to the call; it is
// called when no reference is left.
func (a *Attempt) Recycle() {
	c := a.conn
	if a.Stack.Reset() {
		c.attempts.Put(a)
	}
	c.unref()
}
