package stacks_test

import (
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/status"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/callstacktest"
	"github.com/strata-grpc/strata/layer2_callstack/filters/messagesize"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

func build(b *callstack.Builder) {
	s, err := b.Build(callstack.ChannelArgs{Transport: &callstacktest.Transport{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s)
}

// A filter of one's own goes where its neighbours are named.
func ExampleClientSubchannel() {
	build(stacks.ClientSubchannel(stacks.Options{
		Extra: []stacks.Extra{{Filter: pass("audit"), After: []string{messagesize.Name}}},
	}))
	// Output: CLIENT_SUBCHANNEL authority client_auth message_size audit http_client compression connected
}

func ExampleClientDirect() {
	build(stacks.ClientDirect(stacks.Options{}, true))
	build(stacks.ClientDirect(stacks.Options{}, false))
	// Output:
	// CLIENT_DIRECT authority client_auth message_size deadline http_client compression connected
	// CLIENT_DIRECT authority client_auth message_size deadline connected
}

func ExampleServer() {
	build(stacks.Server(pass("server"), stacks.Options{}))
	// Output: SERVER server message_size deadline http_server compression connected
}

func ExampleLame() {
	build(stacks.Lame(status.New(status.Unavailable, "target has no port")))
	// Output: LAME lame
}
