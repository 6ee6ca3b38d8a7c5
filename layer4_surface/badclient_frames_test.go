package surface

// badClientFrames are the cases about frames that are no request.
var badClientFrames = []badClient{
	{"initial_settings_frame", "another frame first", `
send PING data=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "an acknowledgement first", `
send SETTINGS ACK
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "an acknowledgement with something in it", hello + `
send FRAME type=4 flags=1 payload=00*6
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "half an entry", `
send FRAME type=4 payload=00_01_02
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "on a stream", `
send FRAME type=4 stream=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "cut off in its header", `
raw 00_00_06_04
close`, ""},
	{"initial_settings_frame", "cut off in an entry", `
send FRAME type=4 length=6 payload=00_01
close`, ""},
	{"initial_settings_frame", "nothing at all", `
await close within=11s`, ""},
	{"initial_settings_frame", "a window beyond 2^31-1", `
send SETTINGS initial_window=0x80000000
await GOAWAY code=FLOW_CONTROL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "frames that may be no longer than 0", `
send SETTINGS max_frame=0
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "push that is neither on nor off", `
send SETTINGS push=2
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"initial_settings_frame", "settings that nobody knows", `
send SETTINGS 0xff00=0xffffffff 0=0
send HEADERS stream=1 END_STREAM request=/a/b
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"out_of_bounds", "a frame that is longer than allowed", hello + `
send FRAME type=0 stream=1 length=0xffffff payload=00
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"out_of_bounds", "DATA whose padding is longer than the frame", hello + `
send HEADERS stream=1 request=/a/b
send FRAME type=0 flags=8 stream=1 payload=08_00_00
await GOAWAY code=PROTOCOL_ERROR last=1
await close`, "/a/b broken cancelled"},
	{"out_of_bounds", "a PING of seven bytes", hello + `
send FRAME type=6 payload=00*7
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"out_of_bounds", "a WINDOW_UPDATE of three bytes", hello + `
send FRAME type=8 payload=00*3
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"out_of_bounds", "a RST_STREAM of three bytes", hello + `
send HEADERS stream=1 request=/a/b
send FRAME type=3 stream=1 payload=00*3
await GOAWAY code=FRAME_SIZE_ERROR last=1
await close`, "/a/b broken cancelled"},
	{"out_of_bounds", "a GOAWAY of seven bytes", hello + `
send FRAME type=7 payload=00*7
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"out_of_bounds", "a PRIORITY of four bytes", hello + `
send FRAME type=2 stream=1 payload=00*4
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"out_of_bounds", "a message of 4 GiB", hello + `
send HEADERS stream=1 request=/a/b
send DATA stream=1 payload=00_ff_ff_ff_ff
await HEADERS stream=1 END_STREAM grpc-status=8`, "/a/b broken cancelled"},
	{"unknown_frame", "of every kind", hello + `
repeat 246 type=10+1
  send FRAME type=$type flags=0xff stream=1 payload=00*16
  send FRAME type=$type
end
send HEADERS stream=1 request=/a/b
send FRAME type=0x88 stream=1 payload=00*16384
send DATA stream=1 message=1 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b 1 bytes"},
	{"unknown_frame", "in the middle of a header block", hello + `
send HEADERS stream=1 -END_HEADERS request=/a/b
send FRAME type=0x88 stream=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"unknown_frame", "a promise, which no client can make", hello + `
send PUSH_PROMISE stream=1 promised=2 x=y
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"window_overflow", "of the connection", hello + `
send HEADERS stream=1 request=/a/b
send WINDOW_UPDATE incr=0x7fffffff
await GOAWAY code=FLOW_CONTROL_ERROR last=1
await close`, "/a/b broken cancelled"},
	{"window_overflow", "of the connection, little by little", hello + `
repeat 100000 i=1+1 until=goaway
  send WINDOW_UPDATE incr=0x100000
end
await GOAWAY code=FLOW_CONTROL_ERROR last=0
await close`, ""},
	{"window_overflow", "of a stream", hello + `
send HEADERS stream=1 request=/a/b
send WINDOW_UPDATE stream=1 incr=0x7fffffff
await RST_STREAM stream=1 code=FLOW_CONTROL_ERROR`, "/a/b broken cancelled"},
	{"window_overflow", "of a stream, by SETTINGS", hello + `
send HEADERS stream=1 request=/a/b
send WINDOW_UPDATE stream=1 incr=0x7fff0000
send SETTINGS initial_window=0x7fffffff
await GOAWAY code=FLOW_CONTROL_ERROR last=1
await close`, "/a/b broken cancelled"},
	{"window_overflow", "by nothing", hello + `
send WINDOW_UPDATE incr=0
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"window_overflow", "by more DATA than a stream may send", hello + `
send HEADERS stream=1 request=/stuck
send DATA stream=1 len=65536 frame=16384
await RST_STREAM stream=1 code=FLOW_CONTROL_ERROR`, "/stuck cancelled"},
	{"bad_streaming_id", "a stream below the last", hello + `
send HEADERS stream=5 END_STREAM request=/a/b
await HEADERS stream=5 END_STREAM grpc-status=0
send HEADERS stream=3 END_STREAM request=/a/b
await GOAWAY code=STREAM_CLOSED last=5
await close`, "/a/b"},
	{"bad_streaming_id", "DATA on a stream that was never opened", hello + `
send DATA stream=3 message=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"bad_streaming_id", "RST_STREAM on a stream that was never opened", hello + `
send RST_STREAM stream=3 code=CANCEL
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"bad_streaming_id", "WINDOW_UPDATE on a stream that was never opened", hello + `
send WINDOW_UPDATE stream=3 incr=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"bad_streaming_id", "DATA on stream 0", hello + `
send FRAME type=0 payload=00
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"bad_streaming_id", "DATA on a stream that has ended", hello + `
send HEADERS stream=1 END_STREAM request=/a/b
await HEADERS stream=1 END_STREAM grpc-status=0
send DATA stream=1 message=1
await RST_STREAM stream=1 code=STREAM_CLOSED`, "/a/b"},
	{"bad_streaming_id", "DATA after END_STREAM", hello + `
send HEADERS stream=1 END_STREAM request=/stuck
send DATA stream=1 message=1
await RST_STREAM stream=1 code=STREAM_CLOSED`, "/stuck cancelled"},
	{"bad_streaming_id", "headers on a stream that has ended", hello + `
send HEADERS stream=1 END_STREAM request=/a/b
await HEADERS stream=1 END_STREAM grpc-status=0
send HEADERS stream=1 END_STREAM request=/a/b
await GOAWAY code=STREAM_CLOSED last=1
await close`, "/a/b"},
}

// badClientCalls are the cases with requests that are in order, or nearly.
var badClientCalls = []badClient{
	{"simple_request", "as simple as can be", hello + `
send HEADERS stream=1 END_STREAM request=/a/b
await HEADERS stream=1 END_STREAM :status=200 content-type=application/grpc grpc-status=0`, "/a/b"},
	{"simple_request", "with priority", hello + `
send HEADERS stream=1 END_STREAM weight=16 depends=3 EXCLUSIVE request=/a/b
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"simple_request", "with padding", hello + `
send HEADERS stream=1 pad=255 request=/a/b
send DATA stream=1 message=10 pad=255 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b 10 bytes"},
	{"simple_request", "in continuations", hello + `
send HEADERS stream=1 END_STREAM split=20 request=/a/b
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"simple_request", "with END_STREAM in an empty frame", hello + `
send HEADERS stream=1 request=/a/b
send DATA stream=1 message=1
send DATA stream=1 pad=3 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b 1 bytes"},
	{"simple_request", "without an authority", hello + `
send HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/a/b content-type=application/grpc te=trailers
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"simple_request", "that is cancelled", hello + `
send HEADERS stream=1 request=/a/b
send RST_STREAM stream=1 code=CANCEL
send PING data=1
await PING ACK data=1`, "/a/b broken cancelled"},
	{"simple_request", "and then the end of the connection", hello + `
send HEADERS stream=1 request=/a/b
close`, "/a/b broken cancelled"},
	{"simple_request", "and then GOAWAY", hello + `
send HEADERS stream=1 request=/a/b
send GOAWAY code=NO_ERROR
send DATA stream=1 message=1 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0
await close`, "/a/b 1 bytes"},
	{"simple_request", "and then bytes that are no frame", hello + `
send HEADERS stream=1 request=/a/b
raw ff*16
await GOAWAY code=FRAME_SIZE_ERROR last=1
await close`, "/a/b broken cancelled"},
	{"head_of_line_blocking", "a call that nobody reads", hello + `
send HEADERS stream=1 request=/stuck
send DATA stream=1 payload=00_00_01_00_00 len=65530 frame=16384
send HEADERS stream=3 request=/registered/bar
send DATA stream=3 prefix=3 payload=61_62_63 END_STREAM
await HEADERS stream=3 END_STREAM grpc-status=0
send RST_STREAM stream=1 code=CANCEL
send PING data=1
await PING ACK data=1`, `/registered/bar payload "abc"; /stuck cancelled`},
	{"head_of_line_blocking", "as many calls that nobody reads as the first window holds", hello + `
send HEADERS stream=1 request=/stuck
send DATA stream=1 payload=00_00_01_00_00 len=65530 frame=16384
send HEADERS stream=3 request=/stuck
send DATA stream=3 payload=00_00_01_00_00 len=65530 frame=16384
send HEADERS stream=5 END_STREAM request=/a/b
await HEADERS stream=5 END_STREAM grpc-status=0
close`, "/a/b; /stuck cancelled; /stuck cancelled"},
}
