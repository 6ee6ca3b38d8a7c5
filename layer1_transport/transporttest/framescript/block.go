package framescript

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/net/http2/hpack"
)

// A frameBuffer takes what the Framer writes.
type frameBuffer struct{ bytes.Buffer }

// settingsAck is the answer to SETTINGS. RFC 9113 §6.5.3.
var settingsAck = []byte{0, 0, 0, 4, 1, 0, 0, 0, 0}

// pingAck is the answer to a PING. RFC 9113 §6.7.
func pingAck(data [8]byte) []byte {
	return append([]byte{0, 0, 8, 6, 1, 0, 0, 0, 0}, data[:]...)
}

// A blockWriter makes header blocks. RFC 7541 §6.
type blockWriter struct {
	buf bytes.Buffer
	enc *hpack.Encoder
}

func (w *blockWriter) init() { w.enc = hpack.NewEncoder(&w.buf) }

// requestFields is what a gRPC request begins with, besides its path.
var requestFields = []hpack.HeaderField{
	{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "localhost"},
	{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
}

// write makes the block that a phrase speaks of: the bytes of block=, the
// request that request= stands for, and the other fields.
func (w *blockWriter) write(e *evaluation) ([]byte, error) {
	f := e.f
	w.buf.Reset()
	w.buf.Write(e.bytes("block"))
	put := w.enc.WriteField
	if f.flag("UNINDEXED", false) {
		put = w.unindexed
	}
	if _, ok := f.key("request"); ok {
		for i, h := range requestFields {
			if i == 3 { // the last of the pseudo-header fields
				if err := put(hpack.HeaderField{Name: ":path", Value: e.text("request")}); err != nil {
					return nil, err
				}
			}
			if err := put(h); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range f.fields {
		text, err := e.vars.text(a.val)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clip(a.key), err)
		}
		if err := put(hpack.HeaderField{Name: a.key, Value: text}); err != nil {
			return nil, err
		}
	}
	return w.buf.Bytes(), e.err
}

// unindexed writes a field as a literal that touches no table. RFC 7541 §6.2.2.
func (w *blockWriter) unindexed(f hpack.HeaderField) error {
	w.buf.WriteByte(0)
	for _, s := range []string{f.Name, f.Value} {
		w.buf.Write(varint(uint64(len(s)), 7))
		w.buf.WriteString(s)
	}
	return nil
}

// varint is the integer of RFC 7541 §5.1 with a prefix of n bits.
func varint(v uint64, n uint) []byte {
	most := uint64(1)<<n - 1
	if v < most {
		return []byte{byte(v)}
	}
	return binary.AppendUvarint([]byte{byte(most)}, v-most)
}
