package main

import (
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// audit is an expression, the functions that look at a page.
//
//go:embed audit.js
var audit string

// views lists how each page is looked at, and what is checked in each view.
var views = []struct {
	view
	audits []string // functions of audit.js
}{
	{view{name: "light", width: 1280, height: 860}, []string{"contrast", "layout"}},
	{view{name: "dark", width: 1280, height: 860, dark: true, still: true}, []string{"contrast", "motion"}},
	{view{name: "phone", width: 390, height: 780, phone: true}, []string{"layout"}},
}

// checkPage looks at one page in each view, and takes a picture of it.
func checkPage(r *report, b *browser, url string, p *page, shots string) error {
	t, err := b.open(url)
	if err != nil {
		return err
	}
	defer t.close()
	for _, v := range views {
		if err := t.see(v.view); err != nil {
			return err
		}
		if err := t.visit(url + p.path); err != nil {
			return err
		}
		if err := t.ready(); err != nil {
			return err
		}
		if shots != "" {
			if err := t.shoot(filepath.Join(shots, shotName(p.path, v.name))); err != nil {
				return err
			}
		}
		for _, name := range v.audits {
			var found []string
			if err := t.eval("("+audit+")."+name+"()", &found); err != nil {
				return err
			}
			r.ran(p.path, name)
			for _, f := range found {
				r.fail(p.path, name, "%s: %s", v.name, f)
			}
		}
		if !v.dark {
			if err := checkNames(r, t, p.path, v.name); err != nil {
				return err
			}
		}
		if v.phone {
			if err := checkMenu(r, t, p.path); err != nil {
				return err
			}
		}
		t.seen(r, p.path, "load")
	}
	return nil
}

// checkMenu opens the menu of a phone, if the page has one.
func checkMenu(r *report, t *tab, page string) error {
	const check = "menu"
	err := t.click(".hamburger-menu")
	if errors.Is(err, errNoElement) {
		return nil
	}
	r.ran(page, check)
	if err != nil {
		return err
	}
	// It slides in.
	links := 0
	err = t.eval(`new Promise((done) => {
		const seen = (e) => { const r = e.getBoundingClientRect(); return e.checkVisibility() && r.top >= 0 && r.bottom <= innerHeight; };
		const look = (left) => {
			const n = [...document.querySelectorAll('.sidebar-container a')].filter(seen).length;
			if (n > 2 || left === 0) done(n); else setTimeout(look, 50, left - 1);
		};
		look(60);
	})`, &links)
	if err != nil {
		return err
	}
	r.is(links > 2, page, check, "it shows %d links", links)
	return nil
}

// ready waits for the viewer of a walk, if the page has one and no error
// keeps it from coming.
func (t *tab) ready() error {
	return t.until("the viewer of the walk", func() (ok bool, err error) {
		t.mu.Lock()
		broken := len(t.faults) > 0
		t.mu.Unlock()
		if broken {
			return true, nil
		}
		err = t.eval(`!document.querySelector('.walk') || !!document.querySelector('.walk.ready')`, &ok)
		return ok, err
	})
}

// shotName returns the name of a picture: read-30-callstack-light.png.
func shotName(path, view string) string {
	name := strings.ReplaceAll(strings.Trim(strings.TrimSuffix(path, ".html"), "/"), "/", "-")
	if name == "" {
		name = "home"
	}
	return name + "-" + view + ".png"
}

// operable lists the roles that say nothing without a name.
var operable = map[string]bool{
	"button": true, "link": true, "searchbox": true, "textbox": true, "checkbox": true, "combobox": true,
	"DisclosureTriangle": true, "image": true, "heading": true, "menuitem": true, "tab": true, "option": true,
}

// An axNode is an element as a screen reader meets it.
type axNode struct {
	NodeID, ParentID string
	Ignored          bool
	Role             struct{ Value string }
	Name             struct{ Value any }
	DOM              int `json:"backendDOMNodeId"`
}

// name returns what a screen reader says of the element.
func (n axNode) name() string {
	s, _ := n.Name.Value.(string)
	return strings.TrimSpace(s)
}

// checkNames looks for what has a role and no name, in the tree that the
// browser makes for screen readers.
func checkNames(r *report, t *tab, page, view string) error {
	const check = "names"
	r.ran(page, check)
	var tree struct{ Nodes []axNode }
	if err := t.do("Accessibility.getFullAXTree", nil, &tree); err != nil {
		return err
	}
	nodes := map[string]axNode{}
	for _, n := range tree.Nodes {
		nodes[n.NodeID] = n
	}
	mains := 0
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		if n.Role.Value == "main" {
			mains++
		}
		if !operable[n.Role.Value] || n.name() != "" {
			continue
		}
		if n.Role.Value == "image" && onControl(n, nodes) {
			continue
		}
		is, err := t.outer(n.DOM)
		if err != nil {
			return err
		}
		r.fail(page, check, "%s: %s without a name: %s", view, n.Role.Value, is)
	}
	r.is(mains == 1, page, check, "%s: %d main landmarks, want one", view, mains)
	return nil
}

// onControl reports whether an element is on a link or button that has a name.
func onControl(n axNode, nodes map[string]axNode) bool {
	for up, ok := nodes[n.ParentID]; ok; up, ok = nodes[up.ParentID] {
		if role := up.Role.Value; (role == "link" || role == "button") && up.name() != "" {
			return true
		}
	}
	return false
}

// outer returns the head of an element's text.
func (t *tab) outer(node int) (string, error) {
	var got struct {
		OuterHTML string `json:"outerHTML"`
	}
	if err := t.do("DOM.getOuterHTML", map[string]any{"backendNodeId": node}, &got); err != nil {
		return "", err
	}
	return fmt.Sprintf("%.160s", strings.Join(strings.Fields(got.OuterHTML), " ")), nil
}
