package clientchannel_test

import (
	"fmt"

	transport "github.com/strata-grpc/strata/layer1_transport"
	"github.com/strata-grpc/strata/layer1_transport/credentials"
	callstack "github.com/strata-grpc/strata/layer2_callstack"
	"github.com/strata-grpc/strata/layer2_callstack/clientchannel"
	"github.com/strata-grpc/strata/layer2_callstack/stacks"
)

// A channel does no I/O until the first call, or until State(true).
func ExampleNew() {
	ch, err := clientchannel.New(clientchannel.Config{
		Target:      "dns:///greeter.example:50051",
		Credentials: credentials.NewInsecure(),
		NewStack: func(t transport.Transport, authority string) (*callstack.ChannelStack, error) {
			return stacks.ClientSubchannel(stacks.Options{Authority: authority}).Build(callstack.ChannelArgs{Transport: t})
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ch.Destroy()
	fmt.Println(ch.Name(), ch.Authority(), ch.State(false))
	// Output: client_channel greeter.example:50051 IDLE
}

// A channel without credentials is refused rather than left in plaintext.
func ExampleNew_credentials() {
	_, err := clientchannel.New(clientchannel.Config{Target: "greeter.example:50051"})
	fmt.Println(err)
	// Output: clientchannel: no credentials are set; use credentials.NewTLS for TLS, or credentials.NewInsecure for plaintext
}
