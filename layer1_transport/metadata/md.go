package metadata

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// MD is metadata as applications see it: keys in lower case to their values in
// order. Values of keys that end in "-bin" are any bytes; they are encoded on
// the wire only.
//
// MD converts to and from grpc-go's type of the same name without copying.
type MD map[string][]string

// New returns an MD with one value for each key of m.
func New(m map[string]string) MD {
	md := make(MD, len(m))
	for k, v := range m {
		md.Append(k, v)
	}
	return md
}

// Pairs returns an MD from alternating keys and values. It panics if there is
// a key without a value, which is a mistake in the program.
func Pairs(kv ...string) MD {
	if len(kv)%2 == 1 {
		panic(fmt.Sprintf("metadata: Pairs got %d strings; the last key has no value", len(kv)))
	}
	md := make(MD, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		md.Append(kv[i], kv[i+1])
	}
	return md
}

// Join returns the pairs of all mds, in order.
func Join(mds ...MD) MD {
	out := MD{}
	for _, md := range mds {
		for k, v := range md {
			k = strings.ToLower(k)
			out[k] = append(out[k], v...)
		}
	}
	return out
}

// Len returns the number of keys.
func (md MD) Len() int { return len(md) }

// Copy returns a copy that shares nothing with md.
func (md MD) Copy() MD { return Join(md) }

// Get returns the values of key, in any case of letters.
func (md MD) Get(key string) []string { return md[strings.ToLower(key)] }

// Set replaces the values of key by a copy of values. Without values it does
// nothing.
func (md MD) Set(key string, values ...string) {
	if len(values) > 0 {
		md[strings.ToLower(key)] = slices.Clone(values)
	}
}

// Append adds values to those of key.
func (md MD) Append(key string, values ...string) {
	if len(values) > 0 {
		k := strings.ToLower(key)
		md[k] = append(md[k], values...)
	}
}

// Delete removes key and its values.
func (md MD) Delete(key string) { delete(md, strings.ToLower(key)) }

// String lists the keys with the number of their values. It leaves the values
// out, since they may be secrets.
func (md MD) String() string {
	keys := make([]string, 0, len(md))
	for k, v := range md {
		keys = append(keys, fmt.Sprintf("%s:%d", k, len(v)))
	}
	slices.Sort(keys)
	return "MD[" + strings.Join(keys, " ") + "]"
}

// Format writes String for every verb, so that none shows values.
func (md MD) Format(w fmt.State, _ rune) { writeString(w, md.String()) }

// LogValue is String, for package slog.
func (md MD) LogValue() slog.Value { return slog.StringValue(md.String()) }
