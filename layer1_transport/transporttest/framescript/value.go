package framescript

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
)

// maxExpansion bounds what one value may grow to, so that a slip in a script
// costs an error and not the memory of the machine.
const maxExpansion = 64 << 20

// A value is text in which "$name" and "${name}" stand for variables, and "$$"
// for a dollar.
type value struct {
	text  string // as written
	parts []part // nil for text without variables
}

// A part is literal text or the name of a variable.
type part struct {
	literal string
	name    string
}

// newValue splits text at its variables.
func newValue(text string) (value, error) {
	v := value{text: text}
	if !strings.Contains(text, "$") {
		return v, nil
	}
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "$")
		if literal != "" {
			v.parts = append(v.parts, part{literal: literal})
		}
		if !found {
			break
		}
		if tail, ok := strings.CutPrefix(after, "$"); ok {
			v.parts = append(v.parts, part{literal: "$"})
			rest = tail
			continue
		}
		name, tail := variable(after)
		if name == "" {
			return v, fmt.Errorf("%q: a name must follow the $ ($$ stands for a dollar)", clip(text))
		}
		v.parts = append(v.parts, part{name: name})
		rest = tail
	}
	return v, nil
}

// variable takes "name" or "{name}" off the front of text.
func variable(text string) (name, rest string) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		name, rest, ok = strings.Cut(inner, "}")
		if !ok || !isName(name) {
			return "", text
		}
		return name, rest
	}
	n := 0
	for n < len(text) && isNameByte(text[n]) {
		n++
	}
	return text[:n], text[n:]
}

func isNameByte(b byte) bool {
	return b == '_' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// variables are the variables of one run.
type variables map[string]string

// text evaluates v.
func (vars variables) text(v value) (string, error) {
	if v.parts == nil {
		return v.text, nil
	}
	if len(v.parts) == 1 {
		return vars.part(v.parts[0])
	}
	var b strings.Builder
	for _, p := range v.parts {
		s, err := vars.part(p)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func (vars variables) part(p part) (string, error) {
	if p.name == "" {
		return p.literal, nil
	}
	s, ok := vars[p.name]
	if !ok {
		return "", fmt.Errorf("no variable $%s", p.name)
	}
	return s, nil
}

// number evaluates v as a number.
func (vars variables) number(v value) (uint64, error) {
	s, err := vars.text(v)
	if err != nil {
		return 0, err
	}
	return parseNumber(s)
}

// parseNumber reads 10, 0x1f, 64KiB, 4MiB, and sums and products of them that
// are written "1+2" and "3*16384"; a product goes before a sum.
func parseNumber(s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n, nil
	}
	var sum uint64
	for term := range strings.SplitSeq(s, "+") {
		product := uint64(1)
		for factor := range strings.SplitSeq(term, "*") {
			unit := uint64(1)
			if bare, ok := strings.CutSuffix(factor, "KiB"); ok {
				factor, unit = bare, 1<<10
			} else if bare, ok := strings.CutSuffix(factor, "MiB"); ok {
				factor, unit = bare, 1<<20
			}
			n, err := strconv.ParseUint(factor, 0, 64)
			if err != nil {
				return 0, fmt.Errorf("%q is no number", clip(s))
			}
			product *= n * unit
		}
		sum += product
	}
	return sum, nil
}

// parseHex reads bytes in hexadecimal digits; "_" separates, "be*16" stands for
// sixteen bytes be, "82+be*16" for one thing after the other.
func parseHex(s string) ([]byte, error) {
	var all []byte
	for term := range strings.SplitSeq(strings.ReplaceAll(s, "_", ""), "+") {
		digits, times, repeated := strings.Cut(term, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("%q are no hexadecimal bytes", clip(term))
		}
		if repeated {
			n, err := parseNumber(times)
			if err != nil {
				return nil, err
			}
			if n*uint64(max(len(b), 1)) > maxExpansion {
				return nil, fmt.Errorf("%q is more than %d bytes", clip(term), maxExpansion)
			}
			b = bytes.Repeat(b, int(n))
		}
		if all = append(all, b...); len(all) > maxExpansion {
			return nil, fmt.Errorf("%q is more than %d bytes", clip(s), maxExpansion)
		}
	}
	return all, nil
}

// errCodes are the names of RFC 9113 §7.
var errCodes = func() map[string]http2.ErrCode {
	codes := map[string]http2.ErrCode{}
	for c := http2.ErrCodeNo; c <= http2.ErrCodeHTTP11Required; c++ {
		codes[c.String()] = c
	}
	return codes
}()

// parseCode reads the name of an error code, or its number.
func parseCode(s string) (http2.ErrCode, error) {
	if c, ok := errCodes[s]; ok {
		return c, nil
	}
	n, err := parseNumber(s)
	if err != nil || n > 1<<32-1 {
		return 0, fmt.Errorf("%q is no error code", clip(s))
	}
	return http2.ErrCode(n), nil
}

// settingIDs are the names of RFC 9113 §6.5.2, shortened.
var settingIDs = map[string]http2.SettingID{
	"table": http2.SettingHeaderTableSize, "push": http2.SettingEnablePush,
	"max_streams": http2.SettingMaxConcurrentStreams, "initial_window": http2.SettingInitialWindowSize,
	"max_frame": http2.SettingMaxFrameSize, "max_header_list": http2.SettingMaxHeaderListSize,
}

// parseSetting reads the name of a setting, or its number.
func parseSetting(s string) (http2.SettingID, error) {
	if id, ok := settingIDs[s]; ok {
		return id, nil
	}
	n, err := strconv.ParseUint(s, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no setting", clip(s))
	}
	return http2.SettingID(n), nil
}

// frameTypes are the names of RFC 9113 §6.
var frameTypes = func() map[string]http2.FrameType {
	types := map[string]http2.FrameType{}
	for t := http2.FrameData; t <= http2.FrameContinuation; t++ {
		types[t.String()] = t
	}
	return types
}()

// flagBits are the names of flags, for the frames that have them.
var flagBits = map[string]http2.Flags{
	"END_STREAM": http2.FlagDataEndStream, "ACK": http2.FlagSettingsAck,
	"END_HEADERS": http2.FlagHeadersEndHeaders, "PADDED": http2.FlagDataPadded,
	"PRIORITY": http2.FlagHeadersPriority,
}
