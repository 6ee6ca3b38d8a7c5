package encoding

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strata-grpc/strata/internal/userpanic"
)

// Identity is the coding of messages as they are. Everybody knows it, so it is
// never listed. gRPC-HTTP2 Content-Coding
const Identity = "identity"

// A Compressor is a coding of messages. Its methods may be called at the same
// time; each message is coded by itself.
//
// It has the methods of the interface of the same name in grpc-go, so that what
// implements that one can be handed over as it is.
type Compressor interface {
	// Name is what the coding is called in grpc-encoding, in lower case.
	Name() string

	// Compress returns a writer that codes what it is given into w. Close ends
	// the message; it is called once, also after a Write that failed.
	Compress(w io.Writer) (io.WriteCloser, error)

	// Decompress returns a reader of what r holds, which ends with io.EOF when
	// the message is complete and r empty. What is left in r is an error.
	//
	// A reader that is an io.Closer is closed when nothing more is read of it.
	// After that, or after its first error, nobody may touch r any more.
	// One that is none may not know that its message was given up: r fails soon then,
	// and is not used for another message.
	Decompress(r io.Reader) (io.Reader, error)
}

// Defaults returns the compressors of channels and servers that are given none:
// gzip and deflate.
func Defaults() []Compressor { return []Compressor{Gzip{}, Deflate{}} }

// A Set is the compressors that one end knows, in the order in which it lists
// them. It does not change.
type Set struct {
	list   []Compressor
	accept string
}

// NewSet returns a set of list, or says what is wrong with one of them.
func NewSet(list []Compressor) (*Set, error) {
	names := make([]string, len(list))
	for i, c := range list {
		if c == nil {
			return nil, fmt.Errorf("compressor %d is nil", i)
		}
		var name string
		if err := userpanic.Catch(c, "Name", func() error {
			name = c.Name()
			return nil
		}); err != nil {
			return nil, fmt.Errorf("compressor %d cannot be used: %w", i, err)
		}
		switch {
		case !validName(name):
			return nil, fmt.Errorf("compressor %d is called %q, want a name of 0-9, a-z, hyphen, underscore and dot", i, name)
		case name == Identity:
			return nil, fmt.Errorf("compressor %d is called %q, which is no compression", i, name)
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("two compressors are called %q", name)
		}
		if v, ok := c.(interface{ Validate() error }); ok {
			if err := userpanic.Catch(c, "Validate", v.Validate); err != nil {
				return nil, fmt.Errorf("compressor %q: %w", name, err)
			}
		}
		names[i] = name
	}
	return &Set{list: slices.Clone(list), accept: strings.Join(names, ",")}, nil
}

// validName reports whether s can stand in a list of codings.
func validName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != ""
}

// Accept is the value of grpc-accept-encoding, empty for an empty set.
// gRPC-HTTP2 Message-Accept-Encoding
func (s *Set) Accept() string { return s.accept }

// Find returns the compressor of that name, nil if there is none.
func (s *Set) Find(name string) Compressor {
	for _, c := range s.list {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// Check reports why a message cannot be sent in the coding called name. Empty
// and "identity" always can.
func (s *Set) Check(name string) error {
	if name == "" || name == Identity || s.Find(name) != nil {
		return nil
	}
	return fmt.Errorf("compressor %q is not known, %s", name, s.Known())
}

// Known names the codings of the set for the text of an error.
func (s *Set) Known() string {
	if s.accept == "" {
		return `only "identity" is`
	}
	return fmt.Sprintf("%q and \"identity\" are", s.accept)
}

// A Level says how much compression is wanted, and leaves the coding to what
// both ends know. The values are those of grpc_compression_level.
type Level int

// The levels.
const (
	LevelNone Level = iota
	LevelLow
	LevelMed
	LevelHigh
)

// ForLevel returns the name of the coding for level, of those in the set that
// a peer accepts who has sent accept: the first for LevelLow, the one in the
// middle for LevelMed, the last for LevelHigh. It is "identity" if there is none.
func (s *Set) ForLevel(level Level, accept string) string {
	if level <= LevelNone {
		return Identity
	}
	var both []string
	for _, c := range s.list {
		if Accepts(accept, c.Name()) {
			both = append(both, c.Name())
		}
	}
	switch {
	case len(both) == 0:
		return Identity
	case level == LevelLow:
		return both[0]
	case level == LevelMed:
		return both[len(both)/2]
	default:
		return both[len(both)-1]
	}
}

// Accepts reports whether a value of grpc-accept-encoding lists name.
func Accepts(accept, name string) bool {
	for item := range strings.SplitSeq(accept, ",") {
		if strings.EqualFold(strings.Trim(item, " \t"), name) {
			return true
		}
	}
	return false
}

// Split returns the codings that a value of grpc-accept-encoding lists.
func Split(accept string) []string {
	var names []string
	for item := range strings.SplitSeq(accept, ",") {
		if name := strings.Trim(item, " \t"); name != "" {
			names = append(names, name)
		}
	}
	return names
}
