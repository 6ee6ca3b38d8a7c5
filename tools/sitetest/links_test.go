package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLinks: each fault of a small site is found, and named with its page.
func TestLinks(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "main.go"), []byte(strings.Repeat("\n", 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		site string
		want []string
	}{
		{"good", nil},
		{"fetches", nil}, // what only a browser sees
		{"dead-link", []string{`/: links: <a href="/gone/">: dead link: the site has no /gone/`}},
		{"missing-fragment", []string{`/: links: <a href="#nowhere">: no id "nowhere" in this page`}},
		{"dead-source", []string{
			`/: links: <a href="https://src.example/main.go#L900">: main.go has 20 lines`,
			`/: links: <a href="https://src.example/gone.go">: dead link: the sources have no gone.go`,
		}},
		{"other-host", []string{`/: links: <link href="https://example.com/a.css"> is loaded from another host`}},
		{"markup", []string{
			`/: markup: <html> has no lang`, `/: markup: <img src="data:,"> has no alt`,
			`/: markup: <svg class=""> has no name: aria-label, <title>, or aria-hidden`,
			`/: markup: 2 h1, want one`, `/: markup: 0 titles with text, want one`, `/: markup: id "a" stands 2 times`,
		}},
	} {
		t.Run(tc.site, func(t *testing.T) {
			r, err := links([]string{"-source", "https://src.example/", "-root", root, filepath.Join("testdata", tc.site)})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, r, tc.want)
		})
	}
}

// expect compares the findings of a report, in any order.
func expect(t *testing.T, r *report, want []string) {
	t.Helper()
	var got []string
	for _, f := range r.findings {
		got = append(got, fmt.Sprintf("%s: %s: %s", f.page, f.check, f.what))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestFragments: links into other pages, and into walks.
func TestFragments(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/index.html", `<a href="../b/#one">1</a> <a href="/b#two">2</a> <a href="/b/#e7">3</a> <a href="/b/#write">4</a> <a href="/b/#e8">5</a> <a href="/x.txt">6</a>`)
	write(t, dir, "b/index.html", `<p id="one"></p><p id="event-7"></p><p id="scene-write"></p>`)
	write(t, dir, "x.txt", "")
	s, err := loadSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{}
	checkLinks(r, s, s.byPath["/a/"], sources{})
	expect(t, r, []string{
		`/a/: links: <a href="/b#two">: no id "two" in /b/`,
		`/a/: links: <a href="/b/#e8">: no id "e8" in /b/`,
	})
}

// TestSearchIndex: what search can lead to is looked up like any link.
func TestSearchIndex(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.html", `<p id="one"></p>`)
	write(t, dir, "en.search-data.json", `{"/": {"title": "", "data": {"": "x", "one#One": "x", "two#Two": "x"}}, "/gone/": {"data": {}}}`)
	s, err := loadSite(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{}
	if err := s.checkSearchIndex(r); err != nil {
		t.Fatal(err)
	}
	expect(t, r, []string{
		"/en.search-data.json: links: /#two: no such id in that page",
		"/en.search-data.json: links: dead link /gone/",
	})
	write(t, dir, "en.search-data.json", `{`)
	if err := s.checkSearchIndex(r); err == nil || !strings.Contains(err.Error(), "en.search-data.json") {
		t.Errorf("a broken index is %v", err)
	}
}

// TestNoPages: a folder that is not built is no success.
func TestNoPages(t *testing.T) {
	if _, err := links([]string{t.TempDir()}); err == nil {
		t.Error("an empty folder passes")
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestReport(t *testing.T) {
	r := &report{}
	r.ran("/", "load")
	r.ran("/a/", "names")
	r.fail("/a/", "load", "broke")
	r.fail("/a/", "load", "broke") // once
	var b strings.Builder
	r.print(&b)
	want := "page  load    names\n/     ok      \n/a/   FAIL 1  ok\n/a/: load: broke\nsite: 2 pages, 3 checks, 1 findings\n"
	if b.String() != want {
		t.Errorf("printed\n%q, want\n%q", b.String(), want)
	}
}
