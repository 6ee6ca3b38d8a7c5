// Package stacks has the standard channel stacks, as builders that take more
// filters before they build.
//
//	CLIENT_CHANNEL     client_idle [fault_injection] client_channel
//	CLIENT_SUBCHANNEL  authority client_auth message_size http_client compression connected
//	CLIENT_DIRECT      [fault_injection] authority client_auth message_size deadline [http_client compression] connected
//	SERVER             server [server_auth] [limit] [max_age] message_size deadline http_server compression connected
//	LAME               lame
//
// CLIENT_SUBCHANNEL stands under client_channel, which watches the deadline
// itself. CLIENT_DIRECT is a channel on one transport without name resolution.
// The top of SERVER hands calls to whoever serves them and belongs to layer 4.
//
// # Costs
//
// What a unary call passes takes so many ns, and allocates nothing. The first line
// is the transport of the test, above which the others are measured (make cost):
//
//	passed                          client  server
//	none                               276     410
//	authority                            8       -
//	client_auth                          6       -
//	message_size                         5       0
//	deadline                             9      17
//	deadline, armed                     83      99
//	http_client                         19       -
//	compression                         41      40
//	call_log                           967     988
//	call_log, off                       11       2
//	client_idle                          4       -
//	fault_injection                     19       -
//	user's, contained                  197     275
//	max_age                              -       2
//	http_server                          -      26
//	limit                                -      31
//	limit, rated                         -      84
//	server_auth                          -      35
//	client_auth, token                 131       -
//	CLIENT_CHANNEL                     116       -
//	CLIENT_SUBCHANNEL                   88       -
//	CHANNEL and SUBCHANNEL             238       -
//	CHANNEL and SUBCHANNEL, armed      344       -
//	CLIENT_DIRECT                      106       -
//	CLIENT_DIRECT, armed               185       -
//	SERVER                               -     108
//	SERVER, armed                        -     205
package stacks

import (
	"context"
	"slices"

	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/filters/authority"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientauth"
	"github.com/strata-grpc/strata/layer2_callstack/filters/clientidle"
	"github.com/strata-grpc/strata/layer2_callstack/filters/compression"
	"github.com/strata-grpc/strata/layer2_callstack/filters/connected"
	"github.com/strata-grpc/strata/layer2_callstack/filters/deadline"
	"github.com/strata-grpc/strata/layer2_callstack/filters/faultinjection"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpclient"
	"github.com/strata-grpc/strata/layer2_callstack/filters/httpserver"
	"github.com/strata-grpc/strata/layer2_callstack/filters/lame"
	"github.com/strata-grpc/strata/layer2_callstack/filters/limit"
	"github.com/strata-grpc/strata/layer2_callstack/filters/maxage"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/filters/serverauth"
)

// The names of the stacks.
const (
	NameClientChannel    = "CLIENT_CHANNEL"
	NameClientSubchannel = "CLIENT_SUBCHANNEL"
	NameClientDirect     = "CLIENT_DIRECT"
	NameServer           = "SERVER"
	NameLame             = "LAME"
)

// Options are what the standard filters need to know. The zero value works. What
// is wrong with one is told by the Check of a builder: a filter whose
// configuration can be wrong is a [callstack.Validator].
type Options struct {
	// MaxSend is the longest message to send in bytes. 0 or less: no limit.
	MaxSend int
	// MaxRecv is the longest message to receive in bytes. 0 means
	// messagesize.DefaultMaxRecv, less means no limit.
	MaxRecv int
	// SendName and RecvName say in errors how the two are set. Empty means "option
	// MaxSend" and "option MaxRecv".
	SendName, RecvName string

	// UserAgent stands before the library's own in user-agent. Clients only.
	UserAgent string
	// Scheme is "http", which empty means, or "https". Clients only.
	Scheme string
	// Authority is for calls that name none. Clients only.
	Authority string

	// Compression says how messages are coded over HTTP.
	Compression compression.Config

	// MaxAge says how old connections may become. Servers only.
	MaxAge maxage.Config
	// ServerAuth is the hook that decides about calls, nil for none. Servers only.
	ServerAuth *serverauth.Config
	// Limit bounds the calls of all connections whose stacks one builder builds.
	// Servers only.
	Limit limit.Config
	// Idle says when a channel with a name gives up its connections.
	Idle clientidle.Config
	// FaultInjection says which calls of a client are to fail.
	FaultInjection faultinjection.Config

	// Auth says what credentials all calls send. Clients only.
	Auth clientauth.Config

	// Extra are more filters for the stacks of connections and transports, with
	// the places where they are to stand.
	Extra []Extra
	// ChannelExtra are more filters for CLIENT_CHANNEL. In CLIENT_DIRECT, where a
	// call passes once too, they stand above all that Extra could be placed by;
	// names that only CLIENT_CHANNEL has mean nothing there.
	ChannelExtra []Extra
}

// An Extra is a filter that is not part of the standard stack. Before and
// After name filters of the stack, as in [callstack.Registration]. Filters that
// are left out because nothing is configured for them may be named too. It is
// contained, see [callstack.Registration.Contained].
type Extra struct {
	Filter        callstack.Filter
	Before, After []string
}

// ClientChannel returns the stack of a channel with a name, which a call passes
// once. bottom is the client_channel, which passes calls on to the stacks of
// connections.
func ClientChannel(bottom callstack.Filter, o Options) *callstack.Builder {
	b := callstack.NewBuilder(NameClientChannel)
	b.Add(clientidle.New(o.Idle)).Before(faultinjection.Name).Enabled(o.Idle.Enabled())
	b.Add(faultinjection.New(o.FaultInjection)).Enabled(o.FaultInjection.Enabled())
	b.Add(bottom).Terminal()
	addExtra(b, o.ChannelExtra)
	return b
}

// ClientSubchannel returns the stack of one connection of a channel.
func ClientSubchannel(o Options) *callstack.Builder {
	b := callstack.NewBuilder(NameClientSubchannel)
	addClient(b, o)
	addHTTPClient(b, o, true)
	addExtra(b, o.Extra)
	return b
}

// ClientDirect returns the stack of a channel that is one transport. http says
// whether the transport speaks HTTP, as opposed to the in-process one.
func ClientDirect(o Options, http bool) *callstack.Builder {
	b := callstack.NewBuilder(NameClientDirect)
	addClient(b, o)
	b.Add(faultinjection.New(o.FaultInjection)).Before(authority.Name).Enabled(o.FaultInjection.Enabled())
	b.Add(deadline.New()).After(messagesize.Name).Before(httpclient.Name)
	addHTTPClient(b, o, http)
	addExtra(b, o.Extra)
	for _, e := range o.ChannelExtra {
		b.Add(e.Filter).Before(authority.Name).Before(inDirect(e.Before)...).After(inDirect(e.After)...).Contained()
	}
	return b
}

// Server returns the stack of one connection of a server. top is the filter
// that takes the calls. The transport says by its name whether it is the
// in-process one, which needs no filters of HTTP.
func Server(top callstack.Filter, o Options) *callstack.Builder {
	b := callstack.NewBuilder(NameServer)
	b.Add(top).BeforeAll()
	b.Add(o.serverAuth()).Before(limit.Name).Enabled(o.ServerAuth != nil)
	b.Add(limit.New(o.Limit)).Before(maxage.Name).Enabled(o.Limit.Enabled())
	b.Add(maxage.New(o.MaxAge)).Before(messagesize.Name).Enabled(o.MaxAge.Enabled())
	b.Add(o.messageSize())
	b.Add(deadline.New()).After(messagesize.Name)
	b.Add(httpserver.New()).After(deadline.Name).If(overHTTP)
	b.Add(compression.New(o.Compression)).After(httpserver.Name).If(overHTTP)
	b.Add(connected.New()).Terminal()
	addExtra(b, o.Extra)
	return b
}

// serverAuth returns the filter, also where it is left out: others may be placed
// by its name.
func (o *Options) serverAuth() callstack.Filter {
	if o.ServerAuth != nil {
		return serverauth.New(*o.ServerAuth)
	}
	return serverauth.New(serverauth.Config{Process: func(context.Context, *serverauth.Request) error { return nil }})
}

// Lame returns the stack of a channel whose calls all end with st.
func Lame(st *status.Status) *callstack.Builder {
	b := callstack.NewBuilder(NameLame)
	b.Add(lame.New(st)).Terminal()
	return b
}

// messageSize returns the filter that bounds messages.
func (o Options) messageSize() callstack.Filter {
	return messagesize.New(messagesize.Config{MaxSend: o.MaxSend, MaxRecv: o.MaxRecv, SendName: o.SendName, RecvName: o.RecvName})
}

// addClient adds what every client has.
func addClient(b *callstack.Builder, o Options) {
	b.Add(authority.New(o.Authority))
	b.Add(clientauth.New(o.Auth)).After(authority.Name).Before(messagesize.Name)
	b.Add(o.messageSize()).After(authority.Name)
	b.Add(connected.New()).Terminal()
}

// addHTTPClient adds what a client needs on a transport that speaks HTTP.
func addHTTPClient(b *callstack.Builder, o Options, http bool) {
	cfg := httpclient.Config{Scheme: o.Scheme, UserAgent: o.UserAgent}
	b.Add(httpclient.New(cfg)).After(messagesize.Name).Enabled(http)
	b.Add(compression.New(o.Compression)).After(httpclient.Name).Enabled(http)
}

func addExtra(b *callstack.Builder, extra []Extra) {
	for _, e := range extra {
		b.Add(e.Filter).Before(e.Before...).After(e.After...).Contained()
	}
}

// clientChannel is the name of the filter at the bottom of CLIENT_CHANNEL.
const clientChannel = "client_channel"

// onlyInClientChannel are the filters that CLIENT_DIRECT has no counterpart of.
var onlyInClientChannel = []string{clientidle.Name, clientChannel}

// inDirect returns those of names that CLIENT_DIRECT has.
func inDirect(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(onlyInClientChannel, name) })
}

// inproc is the name of the in-process transport.
const inproc = "inproc"

// overHTTP reports whether the connection below speaks HTTP.
func overHTTP(args *callstack.ChannelArgs) bool {
	return args.Transport == nil || args.Transport.Name() != inproc
}
