// Package tour is what the walkthroughs share: where they run, how what was
// recorded is printed, and the form in which it is compared.
package tour

import (
	"context"
	"fmt"
	"net"

	"github.com/strata-grpc/strata/layer1_transport/trace"
)

// The two ends of a tour, as they are named in the record.
const (
	Client = "client"
	Server = "server"
)

// An Env is where a tour runs.
type Env struct {
	// Listener is where the server listens.
	Listener net.Listener
	// Dial connects to it.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Record keeps what happens.
	Record *trace.Recorder
	// Handler, if not nil, is called by the server's handler. The test waits
	// in it until the client waits for the answer, which decides in which
	// goroutine the callbacks of the client run: a race on the real clock.
	Handler func()
	// Settle returns when nothing moves any more at either end. Between the
	// parts of a tour it keeps what belongs to one part out of the next.
	Settle func()
}

// ClientTrace is the sink for the client.
func (e *Env) ClientTrace() trace.Sink { return e.Record.Endpoint(Client, Server) }

// ServerTrace is the sink for the server.
func (e *Env) ServerTrace() trace.Sink { return e.Record.Endpoint(Server, Client) }

// Scene marks the beginning of a part of the tour.
func (e *Env) Scene(title string) {
	e.Settle()
	e.Record.Endpoint("", "").Emit(&trace.Event{Layer: 6, Component: "tour", Op: opScene, Text: title})
}

// opScene is the Op of the events by which a tour names its parts.
const opScene = "scene"

// layers are the words for the numbers.
var layers = [...]string{"socket", "transport", "callstack", "cq", "surface", "stubs", "application"}

func layerName(n uint8) string {
	if int(n) < len(layers) {
		return layers[n]
	}
	return fmt.Sprintf("layer %d", n)
}
