package quote_test

import (
	"strings"
	"testing"

	"github.com/strata-grpc/strata/internal/quote"
)

func TestText(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", `""`},
		{"text/html", `"text/html"`},
		{"a\r\nb\xff\"", `"a\r\nb\xff\""`},
		{"é", `"\u00e9"`},
		{strings.Repeat("a", 64), `"` + strings.Repeat("a", 64) + `"`},
		{strings.Repeat("a", 65), `"` + strings.Repeat("a", 64) + `\u2026"`},
	} {
		if got := quote.Text(tc.in); got != tc.want {
			t.Errorf("Text(%q) = %s, want %s", tc.in, got, tc.want)
		}
	}
}
