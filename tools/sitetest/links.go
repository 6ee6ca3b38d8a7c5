package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// linkAttrs lists the attributes that hold an address.
var linkAttrs = []string{"href", "src", "poster", "data-trace"}

// sources maps the addresses of source files to a folder.
type sources struct{ prefix, root string }

// checkLinks follows every address that a page holds.
func checkLinks(r *report, s *site, p *page, src sources) {
	r.ran(p.path, "links")
	base := &url.URL{Scheme: "http", Host: "site.invalid", Path: p.path}
	for n := range p.elements() {
		for _, key := range linkAttrs {
			value, ok := attr(n, key)
			if !ok {
				continue
			}
			u, err := base.Parse(value)
			switch {
			case err != nil:
				r.fail(p.path, "links", "<%s %s=%q>: %v", n.Data, key, value, err)
			case u.Scheme != "http" && u.Scheme != "https": // mailto:, data:
			case u.Host == base.Host:
				if err := s.holds(p, u); err != nil {
					r.fail(p.path, "links", "<%s %s=%q>: %v", n.Data, key, value, err)
				}
			case loads(n):
				r.fail(p.path, "links", "<%s %s=%q> is loaded from another host", n.Data, key, value)
			case src.prefix != "" && strings.HasPrefix(value, src.prefix):
				if err := src.holds(strings.TrimPrefix(value, src.prefix)); err != nil {
					r.fail(p.path, "links", "<%s %s=%q>: %v", n.Data, key, value, err)
				}
			}
		}
	}
}

// loads reports whether a browser loads the address of an element by itself.
func loads(n *html.Node) bool {
	if n.Data == "link" {
		rel, _ := attr(n, "rel")
		return rel != "canonical" && rel != "alternate"
	}
	return n.Data != "a" && n.Data != "area"
}

// holds looks up an address of the site.
func (s *site) holds(from *page, u *url.URL) error {
	to, ok := s.find(u.Path)
	switch {
	case !ok:
		return fmt.Errorf("dead link: the site has no %s", u.Path)
	case u.Fragment == "" || u.Fragment == "top":
		return nil
	case to == nil:
		return fmt.Errorf("fragment #%s of what is no page", u.Fragment)
	case to.ids[u.Fragment] > 0:
		return nil
	case to.ids["scene-"+u.Fragment] > 0 || walkFragment.MatchString(u.Fragment) && to.ids["event-"+u.Fragment[1:]] > 0:
		return nil // the viewer of a walk goes there
	case to == from:
		return fmt.Errorf("no id %q in this page", u.Fragment)
	}
	return fmt.Errorf("no id %q in %s", u.Fragment, to.path)
}

// walkFragment is the form of the address of an event in a walk.
var walkFragment = regexp.MustCompile(`^e[0-9]+$`)

// lineFragment is how GitHub names lines.
var lineFragment = regexp.MustCompile(`^L([0-9]+)(?:-L([0-9]+))?$`)

// holds looks up a source file and its lines: path/file.go#L3-L9.
func (s sources) holds(link string) error {
	name, fragment, _ := strings.Cut(link, "#")
	full := filepath.Join(s.root, filepath.FromSlash(name))
	info, err := os.Stat(full)
	if err != nil {
		return fmt.Errorf("dead link: the sources have no %s", name)
	}
	m := lineFragment.FindStringSubmatch(fragment)
	if m == nil || info.IsDir() {
		return nil
	}
	text, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	lines := strings.Count(string(text), "\n")
	first, _ := strconv.Atoi(m[1])
	last, _ := strconv.Atoi(m[2])
	if first < 1 || max(first, last) > lines {
		return fmt.Errorf("%s has %d lines", name, lines)
	}
	return nil
}
