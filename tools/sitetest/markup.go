package main

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// checkMarkup looks at what a page must have besides its links.
func checkMarkup(r *report, p *page) {
	const check = "markup"
	r.ran(p.path, check)
	headings, titles := 0, 0
	for n := range p.elements() {
		switch n.Data {
		case "h1":
			headings++
		case "title":
			if n.Namespace == "" && strings.TrimSpace(text(n)) != "" {
				titles++
			}
		case "html":
			lang, _ := attr(n, "lang")
			r.is(lang != "", p.path, check, "<html> has no lang")
		case "img":
			if _, ok := attr(n, "alt"); !ok && !hidden(n) {
				src, _ := attr(n, "src")
				r.fail(p.path, check, "<img src=%q> has no alt", src)
			}
		case "svg":
			if !named(n) && !hidden(n) && !inNamed(n) {
				class, _ := attr(n, "class")
				r.fail(p.path, check, "<svg class=%q> has no name: aria-label, <title>, or aria-hidden", class)
			}
		}
	}
	r.is(headings == 1, p.path, check, "%d h1, want one", headings)
	r.is(titles == 1, p.path, check, "%d titles with text, want one", titles)
	for id, n := range p.ids {
		r.is(n == 1, p.path, check, "id %q stands %d times", id, n)
	}
}

// hidden reports whether an element is none for those who do not see it.
func hidden(n *html.Node) bool {
	for ; n != nil; n = n.Parent {
		role, _ := attr(n, "role")
		if v, _ := attr(n, "aria-hidden"); v == "true" || role == "presentation" || role == "none" {
			return true
		}
	}
	return false
}

// named reports whether an element has a name of its own.
func named(n *html.Node) bool {
	for _, key := range []string{"aria-label", "aria-labelledby", "title"} {
		if v, _ := attr(n, key); strings.TrimSpace(v) != "" {
			return true
		}
	}
	for c := range n.ChildNodes() {
		if c.Data == "title" && strings.TrimSpace(text(c)) != "" {
			return true
		}
	}
	return false
}

// inNamed reports whether an element is the picture in a control that has a
// name.
func inNamed(n *html.Node) bool {
	for n = n.Parent; n != nil; n = n.Parent {
		if slices.Contains([]string{"a", "button", "summary", "label"}, n.Data) {
			return named(n) || strings.TrimSpace(text(n)) != ""
		}
	}
	return false
}
