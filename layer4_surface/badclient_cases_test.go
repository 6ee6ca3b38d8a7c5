package surface

import "strings"

// hello is the SETTINGS of a client that does nothing special.
const hello = "send SETTINGS\n"

// badClientHeaders are the cases about requests and their header blocks.
var badClientHeaders = []badClient{
	{"badreq", "no path", hello + `
send HEADERS stream=1 END_STREAM :method=POST :scheme=http :authority=localhost content-type=application/grpc te=trailers
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, ""},
	{"badreq", "two paths", hello + `
send HEADERS stream=1 END_STREAM :method=POST :scheme=http :path=/a/b :path=/a/c content-type=application/grpc te=trailers
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, ""},
	{"badreq", "a path without its slash", hello + `
send HEADERS stream=1 END_STREAM request=a/b
await HEADERS stream=1 END_STREAM :status=404 grpc-status=12`, ""},
	{"badreq", "another content-type", hello + `
send HEADERS stream=1 :method=POST :scheme=http :path=/a/b content-type=text/html te=trailers
await HEADERS stream=1 END_STREAM :status=415 grpc-status=2`, ""},
	{"badreq", "another method", hello + `
send HEADERS stream=1 :method=PUT :scheme=http :path=/a/b content-type=application/grpc te=trailers
await HEADERS stream=1 END_STREAM :status=405 grpc-status=2`, ""},
	{"badreq", "another scheme", hello + `
send HEADERS stream=1 :method=POST :scheme=ftp :path=/a/b content-type=application/grpc te=trailers
await HEADERS stream=1 END_STREAM :status=400 grpc-status=13`, ""},
	{"badreq", "te that is not trailers", hello + `
send HEADERS stream=1 :method=POST :scheme=http :path=/a/b content-type=application/grpc te=frobnicate
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, ""},
	{"badreq", "an encoding that nobody has", hello + `
send HEADERS stream=1 request=/a/b grpc-encoding=frobnicate
send DATA stream=1 message=3 flag=1 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=12`, ""},
	{"badreq", "accept-encoding that nobody has", hello + `
send HEADERS stream=1 END_STREAM request=/a/b grpc-accept-encoding=frobnicate
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"duplicate_header", "headers come again", hello + `
send HEADERS stream=1 request=/a/b
send HEADERS stream=1 request=/a/b
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, "/a/b broken cancelled"},
	{"duplicate_header", "a field comes twice", hello + `
send HEADERS stream=1 END_STREAM request=/a/b x=1 x=1
await HEADERS stream=1 END_STREAM grpc-status=0`, "/a/b"},
	{"headers", "on stream 0", hello + `
send FRAME type=1 flags=5 payload=84
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "on an even stream", hello + `
send HEADERS stream=2 END_STREAM request=/a/b
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "padding that is longer than the frame", hello + `
send FRAME type=1 flags=0xd stream=1 payload=ff_82
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "padding without its length", hello + `
send FRAME type=1 flags=0xd stream=1
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"headers", "priority that is cut off", hello + `
send FRAME type=1 flags=0x25 stream=1 payload=00_00_00
await GOAWAY code=FRAME_SIZE_ERROR last=0
await close`, ""},
	{"headers", "a stream that depends on itself", hello + `
send HEADERS stream=1 END_STREAM depends=1 weight=1 request=/a/b
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, ""},
	{"headers", "a block that another frame interrupts", hello + `
send HEADERS stream=1 -END_HEADERS request=/a/b
send PING data=1
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "a block that another stream continues", hello + `
send HEADERS stream=1 -END_HEADERS request=/a/b
send CONTINUATION stream=3
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "a continuation of nothing", hello + `
send CONTINUATION stream=1 x=y
await GOAWAY code=PROTOCOL_ERROR last=0
await close`, ""},
	{"headers", "a block that never ends", hello + `
send HEADERS stream=1 -END_HEADERS request=/a/b
await close within=11s`, ""},
	{"headers", "the index 0", hello + `
send HEADERS stream=1 END_STREAM block=80
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "an index beyond the table", hello + `
send HEADERS stream=1 END_STREAM block=fe
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "an integer that overflows", hello + `
send HEADERS stream=1 END_STREAM block=ff+80*12+01
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "an integer that is cut off", hello + `
send HEADERS stream=1 END_STREAM block=ff
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "a string that is cut off", hello + `
send HEADERS stream=1 END_STREAM block=00_05_61
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "a Huffman code that nobody knows", hello + `
send HEADERS stream=1 END_STREAM block=00_84_ff_ff_ff_ff_01_61
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "a dynamic table that is larger than allowed", hello + `
send HEADERS stream=1 END_STREAM block=3f_ff_ff_03
await GOAWAY code=COMPRESSION_ERROR last=1
await close`, ""},
	{"headers", "upper case", hello + `
send HEADERS stream=1 END_STREAM request=/a/b X-Upper=1
await RST_STREAM stream=1 code=PROTOCOL_ERROR`, ""},
	{"large_metadata", "a client sends more than is allowed", hello + `
send HEADERS stream=1 END_STREAM split=2000 request=/a/b x=` + strings.Repeat("x", 7000) + `
await HEADERS stream=1 END_STREAM grpc-status=0
send HEADERS stream=3 END_STREAM split=2000 request=/a/b x=` + strings.Repeat("x", 8192) + `
await HEADERS stream=3 END_STREAM :status=431 grpc-status=8`, "/a/b"},
	{"large_metadata", "a server sends more than the client takes", `
send SETTINGS max_header_list=1000
send HEADERS stream=1 END_STREAM request=/big
await HEADERS stream=1 END_STREAM grpc-status=0 grpc-message~="does not take the rest"`, "/big"},
	{"server_registered_method", "no message", hello + `
send HEADERS stream=1 END_STREAM request=/registered/bar
await HEADERS stream=1 END_STREAM grpc-status=0`, `/registered/bar payload "<nil>"`},
	{"server_registered_method", "an empty message", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 message=0 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0`, `/registered/bar payload ""`},
	{"server_registered_method", "a message in five pieces", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 payload=00
send DATA stream=1 payload=00_00_00
send DATA stream=1
send DATA stream=1 payload=03_61
send DATA stream=1 payload=62
send DATA stream=1 payload=63 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=0`, `/registered/bar payload "abc"`},
	{"server_registered_method", "a message that is cut off", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 prefix=3 payload=61 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=13`, ""},
	{"server_registered_method", "a prefix that is cut off", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 payload=00_00 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=13`, ""},
	{"server_registered_method", "a connection that is cut off", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 prefix=3 payload=61
wait 1s
close`, ""},
	{"server_registered_method", "a call that is cancelled before its message", hello + `
send HEADERS stream=1 request=/registered/bar
send RST_STREAM stream=1 code=CANCEL
send PING data=1
await PING ACK data=1`, ""},
	{"server_registered_method", "a message that is too long", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 prefix=5MiB
await HEADERS stream=1 END_STREAM grpc-status=8`, ""},
	{"server_registered_method", "a flag that nobody knows", hello + `
send HEADERS stream=1 request=/registered/bar
send DATA stream=1 message=1 flag=2 END_STREAM
await HEADERS stream=1 END_STREAM grpc-status=13`, ""},
}
