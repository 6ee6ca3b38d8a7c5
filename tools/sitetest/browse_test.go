//go:build sitetest

// These tests need a browser, bin/hugo and a built site: make site-test runs them.

package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// begin starts a browser for a test.
func begin(t *testing.T) *browser {
	t.Helper()
	path, err := findChromium()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	b, err := startBrowser(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(); cancel() })
	return b
}

// TestPages: each fault of a small site is found by the check that is for it,
// and by no other.
func TestPages(t *testing.T) {
	b := begin(t)
	for _, tc := range []struct {
		site, check string
		want        []string // a part of each finding, in order
	}{
		{"good", "", nil},
		{"console-error", "load", []string{"console: something broke"}},
		{"exception", "load", []string{"nowhere is not defined"}},
		{"failed-request", "load", []string{"/gone.json: status 404"}},
		{"fetches", "load", []string{"https://example.com/a.json: net::ERR", "asks another host: https://example.com/a.json"}},
		{"other-host", "load", []string{"https://example.com/a.css: net::ERR", "asks another host: https://example.com/a.css"}},
		{"contrast", "contrast", []string{`light: contrast 2.85, least 4.5: <p> "Grey on white"`, `light: contrast 1.30, least 4.5: <text> "dark on dark"`}},
		{"dark-contrast", "contrast", []string{`dark: contrast`}},
		{"names", "names", []string{"light: button without a name: <button>", "light: textbox without a name: <input>"}},
		{"too-wide", "layout", []string{`phone: the page is`}},
		{"layout", "layout", []string{
			`light: on top of each other: <text> "one text here", <text> "another"`, `light: wider than its box: <text> "longer than its box"`, `light: cut: <div> "cut off in the middle"`,
		}},
		{"motion", "motion", []string{`dark: animation: <h1>`, `dark: transition: <p>`}},
	} {
		t.Run(tc.site, func(t *testing.T) {
			dir := filepath.Join("testdata", tc.site)
			r := look(t, b, dir)
			found := map[string]bool{}
			for _, f := range r.findings {
				if f.check != tc.check {
					t.Errorf("%s: %s", f.check, f.what)
				}
				for _, w := range tc.want {
					if strings.Contains(f.what, w) {
						found[w] = true
					}
				}
			}
			for _, w := range tc.want {
				if !found[w] {
					t.Errorf("%q is not found, but %v", w, r.findings)
				}
			}
			if tc.want == nil && len(r.findings) > 0 {
				t.Errorf("found %v", r.findings)
			}
		})
	}
}

// look runs the checks of pages on a folder.
func look(t *testing.T, b *browser, dir string) *report {
	t.Helper()
	s, err := loadSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	url, stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := &report{}
	for _, p := range s.pages {
		if err := checkPage(r, b, url, p, ""); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// built is where make site puts the site.
const built = "../../site/public"

// TestWalkMutants: a viewer with one fault does not pass.
func TestWalkMutants(t *testing.T) {
	b := begin(t)
	for _, tc := range []struct{ fault, from, to, want string }{
		{"the next event is the one after", "ArrowRight: () => this.at + 1", "ArrowRight: () => this.at + 2", "keys: ArrowRight at 1: the counter"},
		{"down leaves the goroutine", "ArrowDown: () => this.inLane(1)", "ArrowDown: () => this.at + 1", "keys: ArrowDown"},
		{"enter goes nowhere", ".cause || this.at,", ".cause && this.at,", "keys: Enter"},
		{"the address stays", "history.replaceState(null, '', `#e${i}`)", "void 0", "keys: ArrowRight at 1: the address ends in"},
		{"the address is not read", "name.match(/^e(\\d+)$/)", "''.match(/^e(\\d+)$/)", "address: opened at #e"},
		{"the cursor stays", "this.cursor.setAttribute('cy', p.y)", "void 0", "keys: ArrowRight at 1: the cursor is"},
		{"a byte is lost", "cut(9), is", "cut(10), is", "address: opened at #e*, phone: the bytes are"},
		{"a phone gets all lanes", "const NARROW = '(max-width: 48rem)'", "const NARROW = '(max-width: 1px)'", "phone: phone: 8 lanes"},
		{"a click is ignored", "a.addEventListener('click', () => this.show(e.i));", "", "pointer: a click on"},
	} {
		t.Run(tc.fault, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(built)); err != nil {
				t.Fatal(err)
			}
			scripts, err := filepath.Glob(filepath.Join(dir, "js", "walk*.js"))
			if err != nil || len(scripts) != 1 {
				t.Fatalf("the viewer is %v, %v", scripts, err)
			}
			text, err := os.ReadFile(scripts[0])
			if err != nil {
				t.Fatal(err)
			}
			mutant := strings.Replace(string(text), tc.from, tc.to, 1)
			if mutant == string(text) {
				t.Fatalf("the viewer does not say %q", tc.from)
			}
			if err := os.WriteFile(scripts[0], []byte(mutant), 0o644); err != nil {
				t.Fatal(err)
			}
			// A star stands for the number of an event, which changes with the walk.
			want := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(tc.want), `\*`, `\d+`))
			for _, f := range walkOf(t, b, dir, tc.want).findings {
				if want.MatchString(f.what) {
					return
				}
			}
			t.Errorf("%q is not found", tc.want)
		})
	}
}

// walkOf runs the part of the checks of the unary walk that a finding is from.
func walkOf(t *testing.T, b *browser, dir, finding string) *report {
	t.Helper()
	part, _, _ := strings.Cut(finding, ":")
	s, err := loadSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	url, stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := &report{}
	if err := checkWalk(r, b, url, s, s.byPath["/walk/unary/"], "", part); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSearch: a chapter that the index does not have is missed.
func TestSearch(t *testing.T) {
	b := begin(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(built)); err != nil {
		t.Fatal(err)
	}
	indexes, err := filepath.Glob(filepath.Join(dir, "*.search-data*.json"))
	if err != nil || len(indexes) == 0 {
		t.Fatalf("the indexes are %v, %v", indexes, err)
	}
	for _, name := range indexes {
		apply(t, name, edit{name, `/read/40-cq/`, `/read/00-one-call/`})
	}
	s, err := loadSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	url, stop, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r := &report{}
	if err := checkSearch(r, b, url, s); err != nil {
		t.Fatal(err)
	}
	if len(r.findings) != 1 || !strings.HasPrefix(r.findings[0].what, `"cq" leads to`) {
		t.Errorf("found %v", r.findings)
	}
}

// TestMenu: a menu that does not open is found.
func TestMenu(t *testing.T) {
	r := look(t, begin(t), filepath.Join("testdata", "menu"))
	if len(r.findings) != 1 || r.findings[0] != (finding{"/", "menu", "it shows 0 links"}) {
		t.Errorf("found %v", r.findings)
	}
}
