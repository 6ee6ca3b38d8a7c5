// Package clientchannel is the top filter of a client's channel: it turns a
// target into addresses, addresses into connections, and sends each call to
// one of them.
//
//	        layer 4, CLIENT_CHANNEL
//	               │ StreamOpBatch             ▲ Done
//	┌──────────────▼───────────────────────────┴──────────────┐
//	│ call.go     one call: hold batches, pick.go, pass on    │
//	│ queue.go    calls that wait for the next picker         │
//	│ control.go  resolver ─▶ balancer ─▶ picker and state    │
//	│ balancer/   pick_first: which subchannel                │
//	│ resolver/   dns, passthrough, unix, ipv4, ipv6          │
//	│ proxy/      tunnels of HTTP proxies, by CONNECT         │
//	│ subchannel/ connecting, backoff, the loss of a transport│
//	└──────────────┬───────────────────────────▲──────────────┘
//	               ▼ CLIENT_SUBCHANNEL stack   │
//	                    a transport of layer 1
//
// # Contract
//
//   - Up: package callstack's. A call waits until a connection is there or its
//     deadline comes, or it fails when the channel cannot connect, unless it
//     waits for ready. After the pick its batches are passed on without a lock.
//   - Up: after Disconnect and Destroy nothing of the channel runs any more.
//   - Up: a call that a connection refused before a byte of it left is picked
//     again and nobody hears of it, the first transparent retry of gRFC A6.
//   - Down: a ConnectFunc that ends with its context, and transports that tell
//     their watchers of Idle (draining) and Shutdown (closed).
//   - Down: a server that takes fewer keepalive PINGs is sent half as many on
//     the next connection.
//   - Not here: every other retry, hedging, what a service config asks for, health
//     checking, round_robin; when to go idle (filters/clientidle).
//
// # Goroutines
//
//	name                   started by            ends when
//	serializer.run         schedule, if none is  nothing is left to do
//	dialing.run            a subchannel          connected, failed or abandoned
//	Conn.awaitClose        a subchannel          the transport has closed
//	dnsResolver.run        resolver.DNS          Resolver.Close
//	closeResolver          the channel           Resolver.Close has returned
//
//	userDial.run           a connector           the application's dialer returns
//
// Destroy waits for all of them but the last: a dialer that ignores its context
// is left behind.
//
// # Locks
//
// call.mu < pickQueue.mu: take call.mu first. serializer.mu and calmDown.mu are
// taken alone.
// None is held while a resolver, balancer, picker, watcher, connector, batch
// callback or the stack below runs.
//
// # Reading order
//
// config.go, clientchannel.go, serializer.go, control.go, host.go, watch.go;
// call.go, held.go, pick.go, queue.go, deadline.go, errors.go; then subchannel,
// balancer, resolver, proxy, and connector.go.
package clientchannel
