package limit

import (
	"fmt"
	"math"
)

// Config is the limits of a server. The zero value limits nothing.
type Config struct {
	// MaxConcurrent is how many calls the server has at once, each until its
	// stream has ended and its handler has returned. 0 is no limit.
	MaxConcurrent int

	// Rate is how many calls come in a second on average. 0 is no limit.
	Rate float64
	// Burst is how many calls may come at once after a pause, with Rate. 0 means
	// as many as Rate has for a second, and one at least.
	Burst int

	// Methods are limits of single methods beside those of the server, by path:
	// "/service/method". Each limits something, and has no Methods itself.
	Methods map[string]Config
}

// Enabled reports whether anything is limited.
func (c Config) Enabled() bool { return c.limits() || len(c.Methods) > 0 }

// limits reports whether c has limits beside those of methods.
func (c Config) limits() bool { return c.MaxConcurrent != 0 || c.Rate != 0 }

// Validate returns an error that says which option is wrong.
func (c Config) Validate() error {
	if err := c.check(); err != nil {
		return err
	}
	for path, m := range c.Methods {
		err := m.check()
		switch {
		case len(path) < 2 || path[0] != '/':
			return fmt.Errorf("option Methods has %q, want a path that begins with a slash, as /service/method does", path)
		case len(m.Methods) > 0:
			return fmt.Errorf("option Methods of %q has Methods, want limits of the method alone", path)
		case err != nil:
			return fmt.Errorf("limits of %q: %w", path, err)
		case !m.limits():
			return fmt.Errorf("limits of %q: options MaxConcurrent and Rate are 0, want one of them above 0", path)
		}
	}
	return nil
}

// check looks at the limits themselves.
func (c Config) check() error {
	switch {
	case c.MaxConcurrent < 0:
		return fmt.Errorf("option MaxConcurrent is %d, want 0 for no limit, or more", c.MaxConcurrent)
	case math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) || c.Rate < 0:
		return fmt.Errorf("option Rate is %v, want 0 for no limit, or calls per second", c.Rate)
	case c.Burst < 0:
		return fmt.Errorf("option Burst is %d, want 0 for the calls of a second, or more", c.Burst)
	case c.Burst > 0 && c.Rate == 0:
		return fmt.Errorf("option Burst is %d and Rate is 0, want a Rate above 0 with it", c.Burst)
	}
	return nil
}

// burst is how many calls the bucket holds.
func (c Config) burst() float64 {
	if c.Burst > 0 {
		return float64(c.Burst)
	}
	return max(1, math.Floor(c.Rate))
}
