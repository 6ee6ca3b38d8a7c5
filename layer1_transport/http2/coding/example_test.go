package coding_test

import (
	"fmt"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/http2/coding"
)

// Eight digits are all there are: a longer time is told in a larger unit.
func ExampleAppendTimeout() {
	for _, d := range []time.Duration{50 * time.Millisecond, time.Second, 100 * time.Second, 48 * time.Hour} {
		fmt.Printf("%s\n", coding.AppendTimeout(nil, d))
	}
	// Output:
	// 50000000n
	// 1000000u
	// 100000m
	// 172800S
}

func ExampleEncodeMessage() {
	s := coding.EncodeMessage("50% of 世界\n")
	fmt.Println(s)
	fmt.Printf("%q\n", coding.DecodeMessage(s))
	// Output:
	// 50%25 of %E4%B8%96%E7%95%8C%0A
	// "50% of 世界\n"
}

// A proxy may have joined two fields of one name.
func ExampleDecodeBin() {
	joined := coding.EncodeBin("first") + ", " + coding.EncodeBin("second")
	fmt.Println(joined)
	err := coding.DecodeBin(joined, func(v string) { fmt.Println(v) })
	fmt.Println(err)
	// Output:
	// Zmlyc3Q, c2Vjb25k
	// first
	// second
	// <nil>
}
