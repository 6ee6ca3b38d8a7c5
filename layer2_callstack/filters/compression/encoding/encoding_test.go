package encoding_test

import (
	"slices"
	"testing"

	"github.com/strata-grpc/strata/layer2_callstack/filters/compression/encoding"
)

func TestSet(t *testing.T) {
	s, err := encoding.NewSet(encoding.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Accept(); got != "gzip,deflate" {
		t.Errorf("Accept() = %q", got)
	}
	for _, name := range []string{"gzip", "deflate"} {
		if c := s.Find(name); c == nil || c.Name() != name || s.Check(name) != nil {
			t.Errorf("Find(%q) = %v", name, c)
		}
	}
	for _, name := range []string{"br", "GZIP"} {
		if s.Find(name) != nil || s.Check(name) == nil {
			t.Errorf("the set has %q", name)
		}
	}
	if s.Check("") != nil || s.Check("identity") != nil {
		t.Error("identity is not always possible")
	}
}

func TestAccepts(t *testing.T) {
	for _, tc := range []struct {
		accept, name string
		want         bool
		list         []string
	}{
		{"gzip", "gzip", true, []string{"gzip"}},
		{"identity,deflate,gzip", "gzip", true, []string{"identity", "deflate", "gzip"}},
		{"deflate, gzip\t", "gzip", true, []string{"deflate", "gzip"}},
		{"GZip", "gzip", true, []string{"GZip"}},
		{"gzip2", "gzip", false, []string{"gzip2"}},
		{"", "gzip", false, nil},
		{",,", "gzip", false, nil},
	} {
		if got := encoding.Accepts(tc.accept, tc.name); got != tc.want {
			t.Errorf("Accepts(%q, %q) = %v", tc.accept, tc.name, got)
		}
		if got := encoding.Split(tc.accept); !slices.Equal(got, tc.list) {
			t.Errorf("Split(%q) = %q, want %q", tc.accept, got, tc.list)
		}
	}
}

// TestLevelsOfCompression: gRPC core's order of codings is gzip, deflate.
func TestLevelsOfCompression(t *testing.T) {
	s, _ := encoding.NewSet(encoding.Defaults())
	none, _ := encoding.NewSet(nil)
	for _, tc := range []struct {
		set    *encoding.Set
		level  encoding.Level
		accept string
		want   string
	}{
		{s, encoding.LevelNone, "gzip,deflate", "identity"},
		{s, encoding.LevelLow, "identity,deflate,gzip", "gzip"},
		{s, encoding.LevelMed, "identity,deflate,gzip", "deflate"},
		{s, encoding.LevelHigh, "identity,deflate,gzip", "deflate"},
		{s, encoding.LevelHigh, "gzip,br", "gzip"},
		{s, encoding.LevelLow, "deflate", "deflate"},
		{s, encoding.LevelHigh, "br", "identity"},
		{s, encoding.LevelHigh, "", "identity"},
		{none, encoding.LevelHigh, "gzip,deflate", "identity"},
	} {
		if got := tc.set.ForLevel(tc.level, tc.accept); got != tc.want {
			t.Errorf("ForLevel(%d, %q) = %q, want %q", tc.level, tc.accept, got, tc.want)
		}
	}
}
