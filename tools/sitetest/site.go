package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// A site is a folder of pages as a server would serve it.
type site struct {
	dir    string
	pages  []*page // by path
	byPath map[string]*page
}

// A page is one parsed file.
type page struct {
	path string // as a browser asks for it: /read/, /404.html
	root *html.Node
	ids  map[string]int // how often each stands
}

// loadSite parses all pages of a folder.
func loadSite(dir string) (*site, error) {
	s := &site{dir: dir, byPath: map[string]*page{}}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".html" {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		p, err := loadPage(name, "/"+strings.TrimSuffix(filepath.ToSlash(rel), "index.html"))
		if err != nil {
			return err
		}
		s.pages = append(s.pages, p)
		s.byPath[p.path] = p
		return nil
	})
	slices.SortFunc(s.pages, func(a, b *page) int { return strings.Compare(a.path, b.path) })
	if err == nil && len(s.pages) == 0 {
		err = fmt.Errorf("no pages in %q", dir)
	}
	return s, err
}

func loadPage(name, at string) (*page, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := html.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &page{path: at, root: root, ids: map[string]int{}}
	for n := range p.elements() {
		if id, ok := attr(n, "id"); ok {
			p.ids[id]++
		}
	}
	return p, nil
}

// elements yields the elements of the page, from the top.
func (p *page) elements() func(yield func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		for n := range p.root.Descendants() {
			if n.Type == html.ElementNode && !yield(n) {
				return
			}
		}
	}
}

// find returns the page, or the file that is no page, at a path of the site.
func (s *site) find(at string) (p *page, ok bool) {
	if p := s.byPath[at]; p != nil {
		return p, true
	}
	if p := s.byPath[strings.TrimSuffix(at, "/")+"/"]; p != nil { // a server redirects
		return p, true
	}
	if p := s.byPath[strings.TrimSuffix(at, "index.html")]; p != nil {
		return p, true
	}
	info, err := os.Stat(filepath.Join(s.dir, filepath.FromSlash(path.Clean(at))))
	return nil, err == nil && info.Mode().IsRegular()
}

// checkSearchIndex looks up what a search can lead to: the index lists pages,
// and for each "id#title" of its sections.
func (s *site) checkSearchIndex(r *report) error {
	names, err := filepath.Glob(filepath.Join(s.dir, "*.search-data*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var index map[string]struct{ Data map[string]string }
		if err := json.Unmarshal(text, &index); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		at := "/" + filepath.Base(name)
		for route, entry := range index {
			p, ok := s.find(route)
			r.is(ok, at, "links", "dead link %s", route)
			for key := range entry.Data {
				id, _, _ := strings.Cut(key, "#")
				if p != nil && id != "" {
					r.is(p.ids[id] > 0, at, "links", "%s#%s: no such id in that page", route, id)
				}
			}
		}
	}
	return nil
}

// attr returns an attribute of an element.
func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

// text returns the text inside an element, without what is hidden from readers.
func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := range n.ChildNodes() {
		b.WriteString(text(c))
	}
	return b.String()
}
