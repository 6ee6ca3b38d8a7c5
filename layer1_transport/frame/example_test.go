package frame_test

import (
	"errors"
	"fmt"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// A reader takes nine octets, then as many as they announce.
func ExampleParseHeader() {
	wire := []byte("\x00\x00\x05\x00\x01\x00\x00\x00\x01hello")
	h := frame.ParseHeader(wire)
	fmt.Println(h)
	d, err := frame.ParseData(h, wire[frame.HeaderLen:][:h.Length])
	fmt.Printf("%s %v %v\n", d.Payload, d.EndStream, err)
	// Output:
	// DATA stream=1 len=5 END_STREAM
	// hello true <nil>
}

// An error says how much has to end.
func ExampleError() {
	for _, stream := range []uint32{0, 5} {
		wire := frame.AppendWindowUpdate(nil, stream, 0)
		h := frame.ParseHeader(wire)
		_, err := frame.ParseWindowUpdate(h, wire[frame.HeaderLen:])
		var e *frame.Error
		if errors.As(err, &e) {
			fmt.Printf("stream %d, %v: %v\n", e.StreamID, e.Code, e)
		}
	}
	// Output:
	// stream 0, PROTOCOL_ERROR: http2 frame: WINDOW_UPDATE increment is 0
	// stream 5, PROTOCOL_ERROR: http2 frame: WINDOW_UPDATE increment is 0
}

// A client begins with its preface and SETTINGS.
func ExampleAppendSettings() {
	wire := []byte(frame.ClientPreface)
	wire = frame.AppendSettings(wire, frame.Setting{ID: frame.SettingEnablePush, Val: 0})
	wire = wire[len(frame.ClientPreface):]
	h := frame.ParseHeader(wire)
	s, err := frame.ParseSettings(h, wire[frame.HeaderLen:])
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range s.Len() {
		fmt.Println(s.At(i))
	}
	// Output:
	// SETTINGS_ENABLE_PUSH=0
}
