package proxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/strata-grpc/strata/internal/quote"
)

// maxHead bounds what a proxy may answer before its connection is given up: it
// could go on for ever otherwise.
const maxHead = 8 << 10

// connect has the proxy at the other end of conn make a tunnel to address. It
// ends when ctx does. RFC 9110 §9.3.6.
func connect(ctx context.Context, conn net.Conn, address string, user *url.Userinfo) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := exchange(conn, request(address, user))
	if !stop() {
		return fmt.Errorf("waiting for the answer to CONNECT: %w", context.Cause(ctx))
	}
	return err
}

// request returns the request for a tunnel.
func request(address string, user *url.Userinfo) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", address, address)
	if user != nil {
		password, _ := user.Password()
		secret := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		fmt.Fprintf(&b, "Proxy-Authorization: Basic %s\r\n", secret) // RFC 7617 §2
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// exchange sends the request and reads the answer.
func exchange(conn io.ReadWriter, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("sending CONNECT: %w", err)
	}
	budget := maxHead
	for {
		code, line, err := readHead(conn, &budget)
		switch {
		case err != nil:
			return err
		case code/100 == 1:
			continue // the answer is still to come. RFC 9110 §15.2
		case code/100 == 2:
			return nil
		case code == 407:
			return fmt.Errorf("the proxy wants other credentials, as in HTTPS_PROXY=http://user:password@host: it answered %s", quote.Text(line))
		default:
			return fmt.Errorf("the proxy answered %s", quote.Text(line))
		}
	}
}

// readHead reads the head of an answer and returns its status. It reads byte by
// byte, a hundred calls for each connection, because what follows the head is
// not the proxy's any more: the connection is handed on as it is.
func readHead(r io.Reader, budget *int) (code int, line string, err error) {
	var head []byte
	var b [1]byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
		if *budget == 0 {
			return 0, "", fmt.Errorf("the answer to CONNECT has no end after %d bytes: it begins with %s", maxHead, quote.Text(string(head)))
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, "", cut(head, err)
		}
		*budget--
		head = append(head, b[0])
		if n := min(len(head), len(protocol)); string(head[:n]) != protocol[:n] {
			return 0, "", fmt.Errorf("the answer to CONNECT is not HTTP: it begins with %s", quote.Text(string(head)))
		}
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	line = string(bytes.TrimSuffix(first, []byte("\r")))
	code, err = parseStatus(line)
	return code, line, err
}

// protocol is how every answer begins.
const protocol = "HTTP/1."

// cut is the error for an answer that ends too early.
func cut(head []byte, err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("reading the answer to CONNECT: %w", err)
	case len(head) == 0:
		return errors.New("the proxy closed the connection instead of an answer to CONNECT")
	}
	return fmt.Errorf("the proxy closed the connection within its answer to CONNECT, %s", quote.Text(string(head)))
}

// parseStatus returns the code in "HTTP/1.1 200 OK". RFC 9112 §4.
func parseStatus(line string) (int, error) {
	bad := fmt.Errorf("the answer to CONNECT has the malformed status line %s", quote.Text(line))
	rest := line[len(protocol):]
	if len(rest) < len("1 200") || rest[0] < '0' || rest[0] > '9' || rest[1] != ' ' || len(rest) > 5 && rest[5] != ' ' {
		return 0, bad
	}
	code, err := strconv.ParseUint(rest[2:5], 10, 16)
	if err != nil || code < 100 {
		return 0, bad
	}
	return int(code), nil
}
