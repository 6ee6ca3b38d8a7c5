package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// A layer is one box of the picture of the layers.
type layer struct{ name, page string }

// layers returns what the picture of a page names and leads to.
func (p *page) layers() []layer {
	var found []layer
	for n := range p.elements() {
		if n.Data != "a" || !hasClass(n, "layer") {
			continue
		}
		l := layer{}
		l.page, _ = attr(n, "href")
		for c := range n.Descendants() {
			if c.Type == html.ElementNode && hasClass(c, "name") {
				l.name = strings.TrimSpace(text(c))
			}
		}
		if len(found) == 0 || !contains(found, l) {
			found = append(found, l)
		}
	}
	return found
}

func contains(list []layer, l layer) bool {
	for _, x := range list {
		if x == l {
			return true
		}
	}
	return false
}

// hasClass reports whether an element is of a class.
func hasClass(n *html.Node, class string) bool {
	all, _ := attr(n, "class")
	for _, c := range strings.Fields(all) {
		if c == class {
			return true
		}
	}
	return false
}

// wantLayers is how many layers the picture of the first page has.
const wantLayers = 5

// checkSearch types the name of each layer into the search box of the first
// page, and looks for its chapter in what is offered.
func checkSearch(r *report, b *browser, url string, s *site) error {
	const check = "search"
	home := s.byPath["/"]
	if home == nil {
		return fmt.Errorf("the site has no first page")
	}
	layers := home.layers()
	r.is(len(layers) == wantLayers, "/", check, "the picture has %d layers, want %d", len(layers), wantLayers)
	t, err := b.open(url)
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.see(views[0].view); err != nil {
		return err
	}
	for _, l := range layers {
		hits, err := t.search(url+"/", l.name)
		if err != nil {
			return err
		}
		found := false
		for _, h := range hits {
			at, _, _ := strings.Cut(h, "#")
			found = found || strings.Trim(at, "/") == strings.Trim(l.page, "/")
		}
		r.is(found, "/", check, "%q leads to %q, not to %s", l.name, hits, l.page)
		t.seen(r, "/", check)
	}
	return nil
}

// search types a word into the search box and returns where the results lead.
func (t *tab) search(url, word string) (hits []string, err error) {
	if err := t.visit(url); err != nil {
		return nil, err
	}
	const box = `.search-wrapper .search-input`
	if err := t.click(box); err != nil {
		return nil, err
	}
	err = t.until("the search index", func() (ok bool, err error) {
		err = t.eval(`document.activeElement.matches(`+strconv.Quote(box)+`) && !!(window.pageIndex && window.sectionIndex)`, &ok)
		return ok && t.settled(), err
	})
	if err != nil {
		return nil, err
	}
	for _, c := range word {
		if err := t.press(string(c)); err != nil {
			return nil, err
		}
	}
	err = t.until("results", func() (bool, error) {
		var shown bool
		err := t.eval(`[...document.querySelectorAll('.search-results')].some((e) => e.clientHeight > 0 && e.children.length > 0)`, &shown)
		return shown, err
	})
	if err != nil {
		return nil, err
	}
	err = t.eval(`[...document.querySelectorAll('.search-results a')].map((a) => a.getAttribute('href'))`, &hits)
	return hits, err
}
