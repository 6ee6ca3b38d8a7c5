package metadata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "CANARY-4711"

// TestPrintingShowsNoValues: metadata holds tokens, and logs are read by many.
func TestPrintingShowsNoValues(t *testing.T) {
	md := MD{"authorization": {"Bearer " + canary, canary}}
	l := &List{Known: Known{Path: "/s/m"}}
	l.AppendMD(md)
	l.SetStatus(16, canary)
	outgoing := NewOutgoingContext(context.Background(), md)
	for name, v := range map[string]any{
		"MD": md, "*MD": &md, "List": *l, "*List": l, "Pair": l.Pairs()[0], "*Pair": &l.Pairs()[0], "pairs": l.Pairs(),
		"a struct":         struct{ MD MD }{md},
		"a struct of list": struct{ L List }{*l},
		"a slice":          []MD{md},
		"a map":            map[string]MD{"k": md},
		"outgoing":         outgoing,
		"appended":         AppendToOutgoingContext(outgoing, "k", canary),
		"incoming":         NewIncomingContext(context.Background(), md),
		"an error":         errors.Join(fmt.Errorf("%v %+v", md, l)),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s", "%x", "%X", "%d", "%T"} {
			text := fmt.Sprintf(verb, v)
			if leaks(text) {
				t.Errorf("%s with %s shows a value: %s", name, verb, text)
			}
		}
		for _, h := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			switch v.(type) {
			case MD, List, *List, Pair: // what slog asks for its LogValue
				var b bytes.Buffer
				slog.New(h(&b)).Info("call", "value", v)
				if leaks(b.String()) {
					t.Errorf("slog of %s shows a value: %s", name, b.String())
				}
			}
		}
	}
}

// leaks reports whether text holds the canary, plain or in hexadecimal.
func leaks(text string) bool {
	return strings.Contains(text, canary) ||
		strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", canary))
}

func TestPrintingShowsKeys(t *testing.T) {
	md := Pairs("b", "1", "a", "2", "b", "3")
	if got, want := fmt.Sprint(md), "MD[a:1 b:2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	l := &List{Known: Known{Path: "/s/m"}}
	l.AppendMD(md)
	if got, want := fmt.Sprintf("%v", l), "List[path=/s/m a b b]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(l.Pairs()), "[Pair[a] Pair[b] Pair[b]]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
