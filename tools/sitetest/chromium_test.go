package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// script writes a program that a test finds in PATH.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestFindChromium: the browser is named, found, installed, or asked for.
func TestFindChromium(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("CHROMIUM", "")

	if _, err := findChromium(); !errors.Is(err, errNoChromium) || strings.Contains(err.Error(), "\n") {
		t.Errorf("without anything: %v", err)
	}
	script(t, dir, "sudo", `shift; exec "$@"`)
	script(t, dir, "apt-get", `exit 1`)
	if _, err := findChromium(); !errors.Is(err, errNoChromium) {
		t.Errorf("where nothing may be installed: %v", err)
	}
	script(t, dir, "apt-get", `echo "$@" >>"`+dir+`/log"; [ $1 = update ] || /bin/cp "`+dir+`/apt-get" "`+dir+`/chromium"`)
	want := filepath.Join(dir, "chromium")
	for range 2 { // the second time it is there
		if path, err := findChromium(); path != want || err != nil {
			t.Errorf("found %q, %v, want %q", path, err, want)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if lines := strings.Split(string(log), "\n"); err != nil || len(lines) != 3 || lines[0] != "update -qq" || !strings.HasPrefix(lines[1], "install ") {
		t.Errorf("apt-get was called with %q, %v", log, err)
	}
	t.Setenv("CHROMIUM", "gone")
	if path, err := findChromium(); err == nil {
		t.Errorf("CHROMIUM=gone is %q", path)
	}
}
