package headerblock

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-grpc/strata/layer1_transport/metadata"
)

// The representations of RFC 7541 §6, written by hand so that the tests do not
// depend on what an encoder chooses.

func integer(first byte, prefix uint, v uint64) []byte {
	full := uint64(1)<<prefix - 1
	if v < full {
		return []byte{first | byte(v)}
	}
	p := []byte{first | byte(full)}
	for v -= full; v >= 0x80; v >>= 7 {
		p = append(p, byte(v)|0x80)
	}
	return append(p, byte(v))
}

func text(s string) []byte { return append(integer(0, 7, uint64(len(s))), s...) }

func index(i uint64) []byte  { return integer(0x80, 7, i) }
func resize(n uint64) []byte { return integer(0x20, 5, n) }

func literal(first byte, name, value string) []byte {
	return join([]byte{first}, text(name), text(value))
}

func inserted(name, value string) []byte { return literal(0x40, name, value) }
func plain(name, value string) []byte    { return literal(0x00, name, value) }
func never(name, value string) []byte    { return literal(0x10, name, value) }

func join(parts ...[]byte) []byte {
	var p []byte
	for _, part := range parts {
		p = append(p, part...)
	}
	return p
}

// block writes fields, "name: value" each, as literals that are inserted.
func block(fields ...string) []byte {
	var p []byte
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		p = append(p, inserted(f[:i], strings.TrimPrefix(f[i+1:], " "))...)
	}
	return p
}

// The least that a request and a response can be.
var (
	aRequest  = []string{":method: POST", ":scheme: http", ":path: /s/m"}
	aResponse = []string{":status: 200"}
)

// with returns least and more.
func with(least []string, more ...string) []string {
	return append(append([]string(nil), least...), more...)
}

// t0 is when the blocks of the tests arrive.
var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// show returns everything that is in list, in one line.
func show(list *metadata.List) string {
	var b strings.Builder
	for _, f := range fields(&list.Known) {
		if f.Value != "" {
			fmt.Fprintf(&b, "%s=%s ", f.Name, f.Value)
		}
	}
	if !list.Deadline.IsZero() {
		fmt.Fprintf(&b, "deadline=%v ", list.Deadline.Sub(t0))
	}
	if list.HasStatus || list.Status != 0 || list.Message != "" {
		fmt.Fprintf(&b, "status=%v/%d/%q ", list.HasStatus, list.Status, list.Message)
	}
	if list.HasContentLength {
		fmt.Fprintf(&b, "length=%d ", list.ContentLength)
	}
	for _, p := range list.Pairs() {
		fmt.Fprintf(&b, "%s:%q ", p.Key, p.Value)
	}
	return strings.TrimSpace(b.String())
}

// wide is limits that no test passes by accident.
var wide = Limits{ListSize: 8 << 10, Fields: 128}

// decodeOK decodes a block that must be in order and shows the list.
func decodeOK(t testing.TB, d *Decoder, kind Kind, p []byte) string {
	t.Helper()
	var list metadata.List
	if err := d.Decode(p, kind, &list, t0); err != nil {
		t.Fatalf("Decode(%x) = %v", p, err)
	}
	return show(&list)
}

// decodeBad decodes a block that must break a rule.
func decodeBad(t testing.TB, d *Decoder, kind Kind, p []byte) *BlockError {
	t.Helper()
	var list metadata.List
	err := d.Decode(p, kind, &list, t0)
	e, ok := err.(*BlockError)
	if !ok {
		t.Fatalf("Decode(%x) = %v with %s, want a *BlockError", p, err, show(&list))
	}
	return e
}
