package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/strata-grpc/strata/layer1_transport/frame"
)

// A rawClient is the client's end of an HTTP/2 connection without a library
// behind it: it sends what the measurement needs and skips what comes.
type rawClient struct {
	nc    net.Conn
	in    *bufio.Reader
	pings uint64
}

// rawTimeout bounds everything that a rawClient waits for.
const rawTimeout = 30 * time.Second

// dialRaw connects and ends the handshake of HTTP/2.
func dialRaw(addr string) (*rawClient, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &rawClient{nc: nc, in: bufio.NewReaderSize(nc, 512)}
	hello := frame.AppendSettingsAck(frame.AppendSettings([]byte(frame.ClientPreface)))
	if err := c.write(hello); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	if err := c.settle(); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

func (c *rawClient) write(p []byte) error {
	if err := c.nc.SetDeadline(time.Now().Add(rawTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(p)
	return err
}

// settle waits until the server has seen everything that was sent: it answers
// a PING.
func (c *rawClient) settle() error {
	c.pings++
	data := [8]byte{0: 'b', 7: byte(c.pings)}
	if err := c.write(frame.AppendPing(nil, false, data)); err != nil {
		return err
	}
	for {
		var head [frame.HeaderLen]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return fmt.Errorf("waiting for the answer to a PING: %w", err)
		}
		h := frame.ParseHeader(head[:])
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c.in, payload); err != nil {
			return err
		}
		switch {
		case h.Type == frame.TypePing && h.Flags.Has(frame.FlagAck) && bytes.Equal(payload, data[:]):
			return nil
		case h.Type == frame.TypeGoAway, h.Type == frame.TypeRSTStream:
			return fmt.Errorf("the server sent %v %q", h.Type, payload)
		}
	}
}

// burst makes n unary calls at once.
func (c *rawClient) burst(n, size int) error {
	body := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), make([]byte, size))
	message := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), body)
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return c.open("UnaryCall", n, append(prefix, message...))
}

// open begins n calls of method, with the identifiers from 1 on. With data it
// sends that too, and the end of the stream.
func (c *rawClient) open(method string, n int, data []byte) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	var out []byte
	for i := range n {
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"},
			{Name: ":path", Value: "/grpc.testing.TestService/" + method}, {Name: ":authority", Value: "bench"},
			{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		} {
			if err := enc.WriteField(f); err != nil {
				return err
			}
		}
		id := uint32(2*i + 1)
		out = frame.AppendHeaders(out, id, false, block.Bytes(), frame.MinMaxFrameSize)
		if data != nil {
			out = append(frame.AppendDataHeader(out, id, true, len(data)), data...)
		}
	}
	return c.write(out)
}

// drip sends p on stream 1, one byte a frame.
func (c *rawClient) drip(p []byte) error {
	var out []byte
	for _, b := range p {
		out = append(frame.AppendDataHeader(out, 1, false, 1), b)
		if len(out) > 32<<10 {
			if err := c.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return c.write(out)
}

func (c *rawClient) close() { _ = c.nc.Close() } // nothing is left to be lost
