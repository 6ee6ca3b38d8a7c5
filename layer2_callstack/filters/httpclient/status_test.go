package httpclient

import (
	"net/http"
	"testing"
)

// TestPhrases are those of RFC 9110 §15, as package net/http has them but for the one
// of 413, which has another name since.
func TestPhrases(t *testing.T) {
	known := 0
	for code := range 1000 {
		p := phrase(code)
		if p == "" {
			continue
		}
		known++
		want := http.StatusText(code)
		if code == 413 {
			want = "Content Too Large"
		}
		if p != want {
			t.Errorf("%d is %q, want %q", code, p, want)
		}
	}
	if known != 22 {
		t.Errorf("%d codes have a phrase, want 22", known)
	}
}
