package main

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// A view is how a page is looked at.
type view struct {
	name          string
	width, height int
	phone         bool
	dark, still   bool // the reader prefers dark, or no motion
}

// see makes the tab look in one way. What is shown already does not always
// follow: visit again.
func (t *tab) see(v view) error {
	scale := 1
	if v.phone {
		scale = 2
	}
	err := t.do("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": v.width, "height": v.height, "deviceScaleFactor": scale, "mobile": v.phone,
	}, nil)
	if err != nil {
		return err
	}
	scheme, motion := "light", "no-preference"
	if v.dark {
		scheme = "dark"
	}
	if v.still {
		motion = "reduce"
	}
	return t.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion},
	}}, nil)
}

// scripts switches scripts on or off, from the next visit on.
func (t *tab) scripts(on bool) error {
	return t.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": !on}, nil)
}

// keyCodes has what a key is called besides its name.
var keyCodes = map[string]int{
	"Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}

// press presses a key and lets it go. A single character is typed.
func (t *tab) press(key string) error {
	p := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": keyCodes[key]}
	switch {
	case key == "Enter":
		p["text"] = "\r"
	case utf8.RuneCountInString(key) == 1:
		p["text"] = key
		delete(p, "code")
	}
	if err := t.do("Input.dispatchKeyEvent", p, nil); err != nil {
		return err
	}
	p["type"] = "keyUp"
	delete(p, "text")
	return t.do("Input.dispatchKeyEvent", p, nil)
}

// errNoElement says that there is nothing to click at.
var errNoElement = errors.New("nothing matches")

// click clicks into the middle of the first element that a selector matches.
func (t *tab) click(selector string) error {
	var at *struct{ X, Y float64 }
	err := t.eval(`(() => {
		const e = document.querySelector(`+strconv.Quote(selector)+`);
		if (!e) return null;
		e.scrollIntoView({block: 'center', behavior: 'instant'});
		const r = e.getBoundingClientRect();
		return {x: r.x + r.width / 2, y: r.y + r.height / 2};
	})()`, &at)
	if err != nil {
		return err
	}
	if at == nil {
		return fmt.Errorf("%w %s", errNoElement, selector)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p := map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}
		if kind == "mouseMoved" {
			p["button"], p["clickCount"] = "none", 0
		}
		if err := t.do("Input.dispatchMouseEvent", p, nil); err != nil {
			return err
		}
	}
	return nil
}
