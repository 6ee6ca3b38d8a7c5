package clientchannel

import (
	"slices"

	"github.com/strata-grpc/strata/layer1_transport/connectivity"
)

// A watcher is one that was added with StartWatch.
type watcher struct{ w connectivity.Watcher }

// startWatch adds w and tells it the present state. It runs on the serializer,
// so w hears of every later change and of each once.
func (c *ClientChannel) startWatch(w connectivity.Watcher) {
	if err := c.control.closeErr; err != nil {
		c.tell(w, connectivity.Shutdown, err)
		return
	}
	c.control.watchers = append(c.control.watchers, watcher{w})
	s, cause := connectivity.State(c.state.Load()), error(nil)
	if s == connectivity.TransientFailure {
		cause = c.LastError()
	}
	c.tell(w, s, cause)
}

func (c *ClientChannel) stopWatch(w connectivity.Watcher) {
	c.control.watchers = slices.DeleteFunc(c.control.watchers, func(x watcher) bool { return x.w == w })
}

func (c *ClientChannel) tellAll(s connectivity.State, cause error) {
	for _, x := range slices.Clone(c.control.watchers) {
		c.tell(x.w, s, cause)
	}
}

// tell calls the watcher, which is not ours, and contains its panic.
func (c *ClientChannel) tell(w connectivity.Watcher, s connectivity.State, cause error) {
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Logger.Warn("a connectivity watcher panicked", "target", c.target.Raw, "panic", p)
		}
	}()
	w.OnState(s, cause)
}
