package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A module is one go.mod with at least one package.
type module struct {
	dir      string
	packages []pkg
}

// A pkg is one package of a module, as go list sees it.
type pkg struct {
	path  string
	tests []string // its test files, with their folder
}

// findModules returns the modules below root, root's own first. It leaves out
// folders that Go leaves out as well and modules without packages: a tool's
// go.mod often pins a version and has no code.
func findModules(root string) ([]module, error) {
	var found []module
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			skip := path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_"))
			if skip || name == "testdata" || name == "node_modules" || name == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if name != "go.mod" {
			return nil
		}
		m := module{dir: filepath.Dir(path)}
		if err := m.list(); err != nil {
			return err
		}
		if len(m.packages) > 0 {
			found = append(found, m)
		}
		return nil
	})
	slices.SortFunc(found, func(a, b module) int { return strings.Compare(a.dir, b.dir) })
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no module with packages below %s", root)
	}
	return found, err
}

// command returns a go command to be run in the module, alone: a workspace
// that a developer has must not change what is tested.
func (m module) command(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}

// list fills in the packages. It uses -e, so that a package which does not
// load fails in its own name when it is tested.
func (m *module) list() error {
	const format = "{{.ImportPath}}\t{{.Dir}}\t{{range .TestGoFiles}}{{.}} {{end}}{{range .XTestGoFiles}}{{.}} {{end}}"
	cmd := m.command("list", "-e", "-f", format, "./...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list in %s: %w\n%s", m.dir, err, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(fields) != 3 {
			return fmt.Errorf("go list in %s printed %q", m.dir, line)
		}
		p := pkg{path: fields[0]}
		for _, name := range strings.Fields(fields[2]) {
			p.tests = append(p.tests, filepath.Join(fields[1], name))
		}
		m.packages = append(m.packages, p)
	}
	return nil
}

// packagesWith returns the import paths of the packages of which a test file
// matches pattern. It saves building the test binaries of all the others.
func (m module) packagesWith(pattern *regexp.Regexp) []string {
	var paths []string
	for _, p := range m.packages {
		for _, file := range p.tests {
			src, err := os.ReadFile(file)
			if err == nil && pattern.Match(src) {
				paths = append(paths, p.path)
				break
			}
		}
	}
	return paths
}
