// Package tunnel is a small HTTP proxy that makes tunnels by CONNECT, for
// clients that give the right user and password. RFC 9110 §9.3.6.
//
// # Contract
//
//   - A tunnel moves bytes until either side ends, and then ends both.
//   - Not here: what else a proxy does, and more than one server.
//
// # Goroutines
//
//	name   started by       ends when
//	serve  Serve            the listener is closed
//	tunnel serve            both sides have ended
//	copy   tunnel           its source has ended
//
// # Locks
//
// Proxy.mu is a leaf.
//
// # Reading order
//
// tunnel.go.
package tunnel

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"sync"
)

// A Proxy leads to one server.
type Proxy struct {
	// Set before Serve, read-only afterwards.

	// User is "user:password".
	User string
	// Dial connects to the server.
	Dial func() (net.Conn, error)

	lis net.Listener
	wg  sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	asked []string
	conns []net.Conn
}

// Serve accepts clients from lis until Close.
func (p *Proxy) Serve(lis net.Listener) {
	p.lis = lis
	p.wg.Add(1)
	go p.serve()
}

// Close ends all tunnels and returns when nothing is left.
func (p *Proxy) Close() {
	p.lis.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Asked lists the request lines of clients so far.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *Proxy) serve() {
	defer p.wg.Done()
	for {
		c, err := p.lis.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		p.wg.Add(1)
		go p.tunnel(c)
	}
}

// tunnel answers one client and moves its bytes.
func (p *Proxy) tunnel(client net.Conn) {
	defer p.wg.Done()
	defer client.Close()
	r := bufio.NewReader(client)
	line, authorized, err := p.readRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, line)
	p.mu.Unlock()
	if !authorized {
		io.WriteString(client, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
		return
	}
	server, err := p.Dial()
	if err != nil {
		io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer server.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	p.wg.Add(1)
	go p.copy(server, r)
	io.Copy(client, server)
}

// copy is the way to the server.
func (p *Proxy) copy(server net.Conn, client io.Reader) {
	defer p.wg.Done()
	io.Copy(server, client)
	server.Close()
}

// readRequest reads a request, and looks whether it has the right credentials.
// RFC 7617 §2.
func (p *Proxy) readRequest(r *bufio.Reader) (line string, authorized bool, err error) {
	if line, err = r.ReadString('\n'); err != nil {
		return "", false, err
	}
	want := "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.User))
	for {
		field, err := r.ReadString('\n')
		if err != nil {
			return "", false, err
		}
		field = strings.TrimSpace(field)
		if field == "" {
			return strings.TrimSpace(line), authorized, nil
		}
		authorized = authorized || field == want
	}
}
