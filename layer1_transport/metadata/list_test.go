package metadata

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// full returns a list with something in every field.
func full() *List {
	l := &List{
		Known: Known{Method: "POST", Scheme: "http", Path: "/s/m", Authority: "a", HTTPStatus: "200",
			ContentType: "application/grpc", UserAgent: "u", TE: "trailers", Encoding: "gzip", AcceptEncoding: "gzip"},
		Deadline: time.Unix(1, 0), ContentLength: 5, HasContentLength: true,
	}
	l.SetStatus(5, "message")
	l.Append("b", "1")
	l.Append("a", "2")
	l.Append("b", "3")
	return l
}

// equal compares everything in two lists.
func equal(a, b *List) bool {
	x, y := *a, *b
	x.pairs, y.pairs = nil, nil
	return fmt.Sprintf("%#v", struct{ v any }{knownAndSlots(x)}) == fmt.Sprintf("%#v", struct{ v any }{knownAndSlots(y)}) &&
		slices.Equal(a.Pairs(), b.Pairs())
}

// knownAndSlots returns the fields of l that are no pairs, as comparable values.
func knownAndSlots(l List) [7]any {
	return [...]any{l.Known, l.Deadline, l.Status, l.HasStatus, l.Message, l.ContentLength, l.HasContentLength}
}

func TestListOrder(t *testing.T) {
	l := full()
	if want := []Pair{{"b", "1"}, {"a", "2"}, {"b", "3"}}; !slices.Equal(l.Pairs(), want) || l.Len() != 3 {
		t.Errorf("%d pairs, want three in order", l.Len())
	}
	if v, ok := l.Get("b"); v != "1" || !ok {
		t.Errorf("Get(b) = %q, %v, want the first value", v, ok)
	}
	if v, ok := l.Get("B"); v != "" || ok {
		t.Errorf("Get(B) = %q, %v", v, ok)
	}
	if diff := cmp.Diff(map[string][]string{"a": {"2"}, "b": {"1", "3"}}, map[string][]string(l.MD())); diff != "" {
		t.Error(diff)
	}
}

func TestListDelete(t *testing.T) {
	l := full()
	l.Delete("b")
	if want := []Pair{{"a", "2"}}; !slices.Equal(l.Pairs(), want) {
		t.Errorf("%d pairs are left", l.Len())
	}
	for _, p := range l.pairs[:cap(l.pairs)][l.Len():] {
		if p != (Pair{}) {
			t.Error("a deleted value is kept in memory")
		}
	}
	l.Delete("missing")
	l.Delete("a")
	if l.Len() != 0 {
		t.Errorf("%d pairs are left", l.Len())
	}
}

func TestListTruncate(t *testing.T) {
	l := full()
	l.Truncate(l.Len())
	if l.Len() != 3 {
		t.Fatalf("%d pairs are left, want all three", l.Len())
	}
	l.Truncate(1)
	if want := []Pair{{"b", "1"}}; !slices.Equal(l.Pairs(), want) {
		t.Errorf("%d pairs are left, want the first", l.Len())
	}
	for _, p := range l.pairs[:cap(l.pairs)][l.Len():] {
		if p != (Pair{}) {
			t.Error("a value that was taken back is kept in memory")
		}
	}
	l.Append("c", "4")
	if want := []Pair{{"b", "1"}, {"c", "4"}}; !slices.Equal(l.Pairs(), want) {
		t.Errorf("%d pairs after another Append, want two", l.Len())
	}
}

func TestListReset(t *testing.T) {
	l := full()
	before := cap(l.pairs)
	l.Reset()
	if !equal(l, &List{}) || l.MD() != nil {
		t.Errorf("a list after Reset holds something: %v", knownAndSlots(*l))
	}
	if cap(l.pairs) != before {
		t.Errorf("Reset dropped the memory of %d pairs", before)
	}
	for _, p := range l.pairs[:cap(l.pairs)] {
		if p != (Pair{}) {
			t.Error("a value is kept in memory")
		}
	}
	for range 10 * maxKept {
		l.Append("k", "v")
	}
	if l.Reset(); cap(l.pairs) > maxKept {
		t.Errorf("the memory of %d pairs is kept", cap(l.pairs))
	}
}

// TestListCopyFrom: a copy is equal, and what is done to one of the two is not
// seen in the other, whatever the target held before.
func TestListCopyFrom(t *testing.T) {
	for _, held := range []int{0, 1, 3, 20} {
		source, target := full(), &List{}
		for range held {
			target.Append("old", "secret")
		}
		target.SetStatus(1, "old")
		target.CopyFrom(source)
		if !equal(source, target) {
			t.Fatalf("over %d pairs: the copy differs", held)
		}
		for _, p := range target.pairs[:cap(target.pairs)][target.Len():] {
			if p != (Pair{}) {
				t.Errorf("over %d pairs: an old value is kept in memory", held)
			}
		}
		target.pairs[0].Value = "changed"
		target.Append("c", "4")
		source.Append("d", "5")
		source.Delete("a")
		if v, _ := source.Get("b"); v != "1" {
			t.Errorf("over %d pairs: the source sees a change", held)
		}
		if v, ok := target.Get("a"); v != "2" || !ok || target.Len() != 4 {
			t.Errorf("over %d pairs: the copy sees a change", held)
		}
	}
	l := full()
	if l.CopyFrom(l); !equal(l, full()) {
		t.Error("a list copied from itself differs")
	}
}

func TestListAppendMD(t *testing.T) {
	l := &List{}
	l.Append("first", "0")
	md := MD{"b": {"1", "2"}, "A": {"3"}}
	for i := range 30 { // past what fits without memory
		md[fmt.Sprintf("k%02d", i)] = []string{"v"}
	}
	l.AppendMD(md)
	l.AppendMD(nil)
	want := []Pair{{"first", "0"}, {"a", "3"}, {"b", "1"}, {"b", "2"}}
	for i := range 30 {
		want = append(want, Pair{fmt.Sprintf("k%02d", i), "v"})
	}
	if !slices.Equal(l.Pairs(), want) {
		t.Errorf("got %d pairs, or in another order", l.Len())
	}
}

// TestListMDIsACopy: handlers keep an MD after the list has another call.
func TestListMDIsACopy(t *testing.T) {
	l := full()
	md := l.MD()
	md.Append("a", "more") // must not write over the values of another key
	l.Reset()
	l.Append("b", "other")
	if diff := cmp.Diff(map[string][]string{"a": {"2", "more"}, "b": {"1", "3"}}, map[string][]string(md)); diff != "" {
		t.Error(diff)
	}
}

// TestListAgainstModel compares a list with a slice under random use.
func TestListAgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		var l List
		var model []Pair
		for range 200 {
			key := string(rune('a' + r.IntN(4)))
			switch r.IntN(10) {
			case 0:
				l.Reset()
				model = nil
			case 1:
				l.Delete(key)
				model = slices.DeleteFunc(slices.Clone(model), func(p Pair) bool { return p.Key == key })
			case 2:
				var other List
				other.CopyFrom(&l)
				other.Append("x", "1")
				l.CopyFrom(&other)
				model = append(slices.Clone(model), Pair{"x", "1"})
			default:
				v := fmt.Sprint(r.IntN(100))
				l.Append(key, v)
				model = append(model, Pair{key, v})
			}
			if !slices.Equal(l.Pairs(), model) {
				t.Fatalf("seed %d: the list differs", seed)
			}
		}
	}
}

// FuzzMDListMD: the way through the layers changes nothing but the case of keys.
func FuzzMDListMD(f *testing.F) {
	f.Add("a\x00b\x00A\x00c-bin", "1\x00\x002\x003")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, keys, values string) {
		md := MD{}
		all := strings.Split(values, "\x00")
		for i, k := range strings.Split(keys, "\x00") {
			md.Append(k, all[i%len(all)], all[0])
		}
		var l List
		l.Append("stale", "value")
		l.Reset()
		l.AppendMD(md)
		if diff := cmp.Diff(map[string][]string(md), map[string][]string(l.MD())); diff != "" {
			t.Error(diff)
		}
	})
}
