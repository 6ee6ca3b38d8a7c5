package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A browser is a running Chromium, spoken to in JSON messages that end in a
// zero byte: the Chrome DevTools Protocol.
type browser struct {
	// Set by startBrowser, read-only afterwards.
	ctx     context.Context // its end is the end of every wait
	cmd     *exec.Cmd
	profile string
	in      *os.File
	gone    chan struct{} // closed when the browser closes its pipe

	mu sync.Mutex // taken before any tab.mu
	// Guarded by mu.
	last    int
	waiting map[int]chan message
	tabs    map[string]*tab // by session
}

// A message goes to the browser as a command, and comes from it as a result or
// an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// startBrowser starts the browser at path with a profile of its own.
func startBrowser(ctx context.Context, path string) (*browser, error) {
	profile, err := os.MkdirTemp("", "sitetest")
	if err != nil {
		return nil, err
	}
	args := []string{
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + profile,
		"--no-first-run", "--no-default-browser-check", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--force-color-profile=srgb", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
	}
	if os.Getuid() == 0 { // its sandbox refuses to work for root
		args = append(args, "--no-sandbox")
	}
	cmd := exec.CommandContext(ctx, path, args...)
	fromUs, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, toUs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // descriptors 3 and 4
	err = cmd.Start()
	fromUs.Close()
	toUs.Close()
	if err != nil {
		return nil, err
	}
	b := &browser{
		ctx: ctx, cmd: cmd, profile: profile, in: in, gone: make(chan struct{}),
		waiting: map[int]chan message{}, tabs: map[string]*tab{},
	}
	go b.read(bufio.NewReaderSize(out, 1<<20))
	return b, nil
}

// close ends the browser.
func (b *browser) close() {
	_ = b.call("", "Browser.close", nil, nil) // it may close the pipe before it answers
	select {
	case <-b.gone:
	case <-time.After(5 * time.Second):
		_ = b.cmd.Process.Kill()
	}
	_ = b.cmd.Wait()
	b.in.Close()
	os.RemoveAll(b.profile)
}

// read hands every message to whom it is for.
func (b *browser) read(r *bufio.Reader) {
	defer close(b.gone)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			continue
		}
		b.mu.Lock()
		answer, t := b.waiting[m.ID], b.tabs[m.Session]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- m
		case m.ID == 0 && t != nil:
			t.event(m)
		}
	}
}

// call sends a command to a session and waits for its result.
func (b *browser) call(session, method string, params, result any) error {
	m := message{Session: session, Method: method}
	if params != nil {
		var err error
		if m.Params, err = json.Marshal(params); err != nil {
			return err
		}
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m.ID = b.last
	b.waiting[m.ID] = answer
	b.mu.Unlock()
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := b.in.Write(append(text, 0)); err != nil { // one write: messages do not mix
		return err
	}
	select {
	case m = <-answer:
	case <-b.gone:
		return fmt.Errorf("%s: the browser is gone", method)
	case <-b.ctx.Done():
		return fmt.Errorf("%s: %w", method, b.ctx.Err())
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer in %v", method, patience)
	}
	if m.Error != nil {
		return fmt.Errorf("%s: %s", method, m.Error.Message)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

// serve serves a folder on a port of its own, until stop.
func serve(dir string) (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // each visit fetches what it needs
		files.ServeHTTP(w, r)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintf(os.Stderr, "sitetest: serving: %v\n", err)
		}
	}, nil
}
