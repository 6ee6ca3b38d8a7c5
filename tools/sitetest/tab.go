package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	patience = 60 * time.Second       // for one answer; the machine may be busy
	quiet    = 150 * time.Millisecond // without requests, and a page is loaded
	glance   = 20 * time.Millisecond  // between two looks at something awaited
)

// A tab is one page of the browser.
type tab struct {
	// Set by open, read-only afterwards.
	b       *browser
	target  string
	session string
	origin  string

	mu sync.Mutex // taken after browser.mu
	// Guarded by mu.
	loaded  bool
	open    map[string]string // requests without an end yet: their addresses
	busy    time.Time         // of the last request or end of one
	faults  []string          // errors, exceptions, failed requests
	foreign []string          // requests to other hosts
}

// open makes a tab that shows nothing. What it loads must come from origin.
func (b *browser) open(origin string) (*tab, error) {
	t := &tab{b: b, origin: origin, open: map[string]string{}}
	var made struct{ TargetID string }
	if err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &made); err != nil {
		return nil, err
	}
	var attached struct{ SessionID string }
	if err := b.call("", "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached); err != nil {
		return nil, err
	}
	t.target, t.session = made.TargetID, attached.SessionID
	b.mu.Lock()
	b.tabs[t.session] = t
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		if err := t.do(domain+".enable", nil, nil); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// close closes the tab.
func (t *tab) close() {
	t.b.mu.Lock()
	delete(t.b.tabs, t.session)
	t.b.mu.Unlock()
	_ = t.b.call("", "Target.closeTarget", map[string]any{"targetId": t.target}, nil) // the browser ends soon
}

// do sends a command to the tab.
func (t *tab) do(method string, params map[string]any, result any) error {
	return t.b.call(t.session, method, params, result)
}

// A notice holds the fields of all events that matter here.
type notice struct {
	RequestID string
	Type      string
	URL       string
	Request   struct{ URL string }
	Response  struct {
		URL    string
		Status int
	}
	ErrorText string
	Canceled  bool
	Entry     struct{ Level, Source, Text, URL string }
	Args      []struct {
		Value       any
		Description string
	}
	ExceptionDetails exception
}

// event notes what happens in the page.
func (t *tab) event(m message) {
	var n notice
	if err := json.Unmarshal(m.Params, &n); err != nil {
		return // a field of another type in an event that is not looked at
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch m.Method {
	case "Page.loadEventFired":
		t.loaded, t.busy = true, time.Now()
	case "Network.requestWillBeSent":
		t.open[n.RequestID], t.busy = n.Request.URL, time.Now()
		if strings.Contains(n.Request.URL, "://") && !strings.HasPrefix(n.Request.URL, t.origin+"/") {
			t.foreign = append(t.foreign, n.Request.URL)
		}
	case "Network.webSocketCreated":
		t.foreign = append(t.foreign, n.URL)
	case "Network.responseReceived":
		if n.Response.Status >= 400 {
			t.faults = append(t.faults, fmt.Sprintf("%s: status %d", t.local(n.Response.URL), n.Response.Status))
		}
	case "Network.loadingFinished":
		delete(t.open, n.RequestID)
		t.busy = time.Now()
	case "Network.loadingFailed":
		if !n.Canceled {
			t.faults = append(t.faults, t.local(t.open[n.RequestID])+": "+n.ErrorText)
		}
		delete(t.open, n.RequestID)
		t.busy = time.Now()
	case "Runtime.consoleAPICalled":
		if n.Type == "error" || n.Type == "assert" {
			var said []string
			for _, a := range n.Args {
				if a.Description != "" {
					said = append(said, a.Description)
				} else {
					said = append(said, fmt.Sprint(a.Value))
				}
			}
			t.faults = append(t.faults, "console: "+strings.Join(said, " "))
		}
	case "Runtime.exceptionThrown":
		t.faults = append(t.faults, n.ExceptionDetails.String())
	case "Log.entryAdded":
		if n.Entry.Level == "error" && n.Entry.Source != "network" { // those are above
			t.faults = append(t.faults, n.Entry.Source+": "+n.Entry.Text)
		}
	}
}

// local cuts what all addresses of the site share.
func (t *tab) local(url string) string { return strings.TrimPrefix(url, t.origin) }

// visit loads a page and waits until it asks for nothing more.
func (t *tab) visit(url string) error {
	t.mu.Lock()
	t.loaded, t.faults, t.foreign = false, nil, nil
	clear(t.open)
	t.mu.Unlock()
	// Through a blank page: going from one fragment to another is no load.
	if err := t.do("Page.navigate", map[string]any{"url": "about:blank"}, nil); err != nil {
		return err
	}
	if err := t.until("a blank page", func() (bool, error) { return t.settled(), nil }); err != nil {
		return err
	}
	t.mu.Lock()
	t.loaded = false
	t.mu.Unlock()
	var went struct{ ErrorText string }
	if err := t.do("Page.navigate", map[string]any{"url": url}, &went); err != nil {
		return err
	}
	if went.ErrorText != "" {
		return fmt.Errorf("%s: %s", url, went.ErrorText)
	}
	return t.until("the page", func() (bool, error) { return t.settled(), nil })
}

// settled reports whether the page is there and silent.
func (t *tab) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded && len(t.open) == 0 && time.Since(t.busy) > quiet
}

// until waits for something to hold.
func (t *tab) until(what string, holds func() (bool, error)) error {
	end := time.After(patience)
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(glance):
		case <-t.b.ctx.Done():
			return t.b.ctx.Err()
		case <-end:
			return fmt.Errorf("waited %v for %s", patience, what)
		}
	}
}

// seen reports, and forgets, what went wrong since the visit.
func (t *tab) seen(r *report, page, check string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.ran(page, check)
	for _, f := range t.faults {
		r.fail(page, check, "%s", f)
	}
	for _, url := range t.foreign {
		r.fail(page, check, "asks another host: %s", url)
	}
	t.faults, t.foreign = nil, nil
}

// An exception is what a script threw.
type exception struct {
	Text      string
	URL       string
	Line      int `json:"lineNumber"`
	Exception struct{ Description string }
}

func (e exception) String() string {
	return strings.TrimSpace(e.Text + " " + e.Exception.Description)
}

// eval runs an expression in the page, and waits if it is a promise.
func (t *tab) eval(expression string, result any) error {
	var got struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *exception
	}
	err := t.do("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &got)
	if err != nil {
		return err
	}
	if got.ExceptionDetails != nil {
		return fmt.Errorf("%s: %s", expression, got.ExceptionDetails)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(got.Result.Value, result)
}

// shoot writes a picture of the whole page.
func (t *tab) shoot(name string) error {
	var got struct{ Data string }
	if err := t.do("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &got); err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(got.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
