package memconn

import "net"

// OneByte returns c with every read and every write cut into single octets.
// Whoever parses must give the same results over it: no boundary between two
// reads means anything to HTTP/2.
func OneByte(c net.Conn) net.Conn { return oneByte{c} }

type oneByte struct{ net.Conn }

// Read reads at most one octet.
func (c oneByte) Read(b []byte) (int, error) {
	return c.Conn.Read(b[:min(len(b), 1)])
}

// Write makes a Write of c for each octet. Two Writes at once mix.
func (c oneByte) Write(b []byte) (n int, err error) {
	if len(b) == 0 {
		return c.Conn.Write(b)
	}
	for n < len(b) {
		m, err := c.Conn.Write(b[n : n+1])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
