package coding

import (
	"strings"
	"unicode/utf8"
)

// replacement stands for what is not UTF-8.
const replacement = string(utf8.RuneError)

const upperHex = "0123456789ABCDEF"

// plainByte reports whether c stands for itself in grpc-message.
// gRPC-HTTP2 Percent-Byte-Unencoded.
func plainByte(c byte) bool { return c >= 0x20 && c <= 0x7e && c != '%' }

// EncodeMessage returns text as the value of grpc-message; text that needs no
// coding is returned as it is. Octets that are not UTF-8 become U+FFFD, one
// for each run of them. gRPC-HTTP2 Status-Message.
//
// A space at either end is encoded too: the grammar would let it stand, but a
// field value must not begin or end with one. RFC 9113 §8.2.1.
func EncodeMessage(text string) string {
	extra := 0
	for i := range len(text) {
		if !plainByte(text[i]) {
			extra++
		}
	}
	if extra == 0 && !spaceAtEnds(text) {
		return text
	}
	text = strings.ToValidUTF8(text, replacement)
	var b strings.Builder
	b.Grow(len(text) + 2*extra + 4)
	for i := range len(text) {
		c := text[i]
		end := i == 0 || i == len(text)-1
		if plainByte(c) && !(end && c == ' ') {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&0xf])
	}
	return b.String()
}

// spaceAtEnds reports whether s begins or ends with a space.
func spaceAtEnds(s string) bool {
	return s != "" && (s[0] == ' ' || s[len(s)-1] == ' ')
}

// DecodeMessage returns the text of a grpc-message. It cannot fail, since a
// message must not be lost over its coding: a percent sign that begins no
// escape stands for itself, and octets that are not UTF-8 become U+FFFD. The
// result is always valid UTF-8. gRPC-HTTP2 Status-Message.
func DecodeMessage(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return strings.ToValidUTF8(s, replacement)
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	for i < len(s) {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 16 && lo < 16 {
				b.WriteByte(hi<<4 | lo)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return strings.ToValidUTF8(b.String(), replacement)
}

// unhex returns the value of a hexadecimal digit, more than 15 for any other
// octet.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 0xff
	}
}
