package metadata

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The methods have the meaning of grpc-go's of the same name.

func TestNew(t *testing.T) {
	got := New(map[string]string{"Key": "a", "other": ""})
	if diff := cmp.Diff(MD{"key": {"a"}, "other": {""}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPairs(t *testing.T) {
	got := Pairs("K", "1", "k", "2", "other", "3")
	if diff := cmp.Diff(MD{"k": {"1", "2"}, "other": {"3"}}, got); diff != "" {
		t.Error(diff)
	}
	if Pairs().Len() != 0 {
		t.Error("Pairs() is not empty")
	}
	defer func() {
		if recover() == nil {
			t.Error("Pairs takes a key without a value")
		}
	}()
	Pairs(strings.Fields("k 1 alone")...)
}

func TestJoin(t *testing.T) {
	got := Join(Pairs("a", "1"), nil, MD{"A": {"2"}, "b": {"3"}})
	if diff := cmp.Diff(MD{"a": {"1", "2"}, "b": {"3"}}, got); diff != "" {
		t.Error(diff)
	}
	if Join() == nil {
		t.Error("Join() is nil and cannot be written to")
	}
}

func TestMDMethods(t *testing.T) {
	md := MD{}
	md.Append("K", "1")
	md.Append("k", "2", "3")
	md.Append("nothing")
	md.Set("Other", "4")
	md.Set("other", "5")
	md.Set("other") // without values it does nothing
	if diff := cmp.Diff(MD{"k": {"1", "2", "3"}, "other": {"5"}}, md); diff != "" {
		t.Error(diff)
	}
	if got := md.Get("K"); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("Get = %q", got)
	}
	if got := md.Get("missing"); got != nil {
		t.Errorf("Get of a missing key = %q", got)
	}
	md.Delete("K")
	md.Delete("missing")
	if md.Len() != 1 {
		t.Errorf("Len = %d after Delete, want 1", md.Len())
	}
}

// TestMDSharesNothing: a slice that was given or taken can be changed.
func TestMDSharesNothing(t *testing.T) {
	values := make([]string, 1, 10)
	values[0] = "mine"
	md := MD{}
	md.Set("k", values...)
	values[0] = "changed"
	copied := md.Copy()
	copied["k"][0] = "changed"
	copied.Append("k", "more")
	if diff := cmp.Diff(MD{"k": {"mine"}}, md); diff != "" {
		t.Error(diff)
	}
}

// TestMDIsAMap: users of grpc-go's MD convert without copying.
func TestMDIsAMap(t *testing.T) {
	plain := map[string][]string{"k": {"1"}}
	md := MD(plain)
	md.Append("k", "2")
	if got := len(plain["k"]); got != 2 {
		t.Errorf("the map has %d values", got)
	}
}
