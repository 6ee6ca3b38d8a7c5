package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// errNoChromium says what to do.
var errNoChromium = errors.New("no Chromium: install it (Debian: apt-get install chromium) or name it in CHROMIUM")

// findChromium returns the browser to run, and installs it where apt-get can.
func findChromium() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return exec.LookPath(path)
	}
	if path := lookChromium(); path != "" {
		return path, nil
	}
	if err := installChromium(); err != nil {
		return "", fmt.Errorf("%w (%v)", errNoChromium, err)
	}
	if path := lookChromium(); path != "" {
		return path, nil
	}
	return "", errNoChromium
}

// lookChromium returns the browser in PATH, or nothing.
func lookChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// installChromium installs Debian's package.
func installChromium() error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"apt-get", "update", "-qq"},
		{"apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"},
	} {
		if os.Getuid() != 0 {
			args = append([]string{"sudo", "-n"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%v: %w", args, err)
		}
	}
	return nil
}
