package headerblock

// The caches have to know what a block does to HPACK's dynamic table before it
// is decoded. This file reads just enough of a block to tell: where each field
// ends and whether it is added. RFC 7541 §6.

// indexedPrefix returns how many bytes at the start of block are indexed
// fields. RFC 7541 §6.1. What ends early or is too long to be an index is left
// to the HPACK decoder, which has the right error for it.
func indexedPrefix(block []byte) int {
	rest := block
	for len(rest) > 0 && rest[0] >= 0x80 {
		if rest[0] != 0xff { // the index fits this byte
			rest = rest[1:]
			continue
		}
		_, after := varint(rest, 7)
		if after == nil {
			break
		}
		rest = after
	}
	return len(block) - len(rest)
}

// keepsTable reports whether decoding p leaves the dynamic table as it is: p
// holds indexed fields and literals that are not added only. RFC 7541 §6.2.
func keepsTable(p []byte) bool {
	for len(p) > 0 {
		switch b := p[0]; {
		case b >= 0x80: // indexed
			_, p = varint(p, 7)
		case b < 0x20: // literal without indexing, or never indexed
			var index uint64
			index, p = varint(p, 4)
			if index == 0 {
				p = skipString(p)
			}
			p = skipString(p)
		default: // literal with indexing, or a new table size
			return false
		}
		if p == nil {
			return false
		}
	}
	return true
}

// isSizeUpdate reports whether b begins a dynamic table size update.
// RFC 7541 §6.3.
func isSizeUpdate(b byte) bool { return b&0xe0 == 0x20 }

// varint reads an integer with an n-bit prefix and returns what follows it,
// nil if p ends early or the integer has more than 63 bits. RFC 7541 §5.1.
func varint(p []byte, n uint) (uint64, []byte) {
	if len(p) == 0 {
		return 0, nil
	}
	full := uint64(1)<<n - 1
	v := uint64(p[0]) & full
	p = p[1:]
	if v < full {
		return v, p
	}
	for shift := uint(0); len(p) > 0 && shift < 63; shift += 7 {
		b := p[0]
		p = p[1:]
		v += uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, p
		}
	}
	return 0, nil
}

// skipString returns what follows a string, nil if p ends early. RFC 7541 §5.2.
func skipString(p []byte) []byte {
	n, rest := varint(p, 7)
	if rest == nil || n > uint64(len(rest)) {
		return nil
	}
	return rest[n:]
}
