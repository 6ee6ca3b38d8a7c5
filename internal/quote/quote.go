// Package quote makes what a peer or a user has written fit for an error: of any
// length, with any bytes.
//
// # Contract
//
//   - What it returns is printable ASCII of a bounded length, in quotation marks.
//   - Not here: what may be a secret. That is not quoted at all.
//
// # Goroutines
//
// None.
//
// # Locks
//
// None.
package quote

import "strconv"

// most is how many bytes are quoted. A name is shorter; an attack is not.
const most = 64

// Text returns s in quotation marks, cut after 64 bytes.
func Text(s string) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}
