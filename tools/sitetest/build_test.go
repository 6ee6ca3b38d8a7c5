//go:build sitetest

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// top is the top of the repository.
const top = "../.."

// sources copies what the site is built from, without its pages, to a folder.
func copySources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{
		"site/hugo.yaml", "site/go.mod", "site/go.sum", "site/assets", "site/data", "site/layouts",
		"walkthroughs/unary/testdata", "layer2_callstack/stacks/testdata", "layer3_cq/testdata",
	} {
		from, to := filepath.Join(top, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else {
			err = copyFile(from, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "site/content/_index.md", "---\ntitle: Home\n---\n")
	for _, section := range []string{"read", "walk", "articles"} { // the menu names them
		write(t, dir, "site/content/"+section+"/_index.md", "---\ntitle: "+section+"\n---\n")
	}
	return dir
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// build builds a site as make site does, and returns what is printed.
func build(t *testing.T, dir string) (string, error) {
	t.Helper()
	hugo, err := filepath.Abs(filepath.Join(top, "bin", "hugo"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	proxy, err := exec.CommandContext(ctx, "go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, hugo, "--panicOnWarning")
	cmd.Dir = filepath.Join(dir, "site")
	cmd.Env = append(os.Environ(), "HUGO_MODULE_PROXY="+strings.TrimSpace(string(proxy)))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// An edit replaces what matches in a file; all of it if old is empty.
type edit struct{ file, old, new string }

// TestBuild: bad input fails the build, and the message names the page and
// line, or the data file. Each case is a page, edits of the inputs, or both.
func TestBuild(t *testing.T) {
	const trace, tale = "walkthroughs/unary/testdata/unary.jsonl", "site/data/walks/unary.yaml"
	const walk = `{{< walk "unary" >}}`
	for _, tc := range []struct {
		name, body string
		edits      []edit
		want       []string // parts of the message; none if the build is to pass
	}{
		{name: "nothing is wrong", body: walk + "\n" + `{{< code "layer3_cq" "(*Queue).Pluck" >}}` + "\n" + `{{< figures "cq" >}}`},
		{
			name: "code names a symbol that is gone", body: `{{< code "layer3_cq" "(*Queue).Gone" >}}`,
			want: []string{`read/page.md:7`, `package "layer3_cq" has no "(*Queue).Gone"`},
		},
		{
			name: "code names a package that is gone", body: `{{< code "layer9" "Gone" >}}`,
			want: []string{`read/page.md:7`, `there is no package "layer9"`},
		},
		{
			name: "code asks for a part that there is not", body: `{{< code "layer3_cq" "(*Queue).Pluck" "tail" >}}`,
			want: []string{`read/page.md:7`, `part "tail" is none of all, body, doc`},
		},
		{name: "code names no symbol", body: `{{< code "layer3_cq" >}}`, want: []string{`read/page.md:7`}},
		{
			name: "a rule names a test that is gone", body: `{{< rules >}}{{< rule "layer3_cq" "TestGone" >}}It holds.{{< /rule >}}{{< /rules >}}`,
			want: []string{`read/page.md:7`, `package "layer3_cq" has no "TestGone"`},
		},
		{name: "a contract of no package", body: `{{< contract "layer9" >}}`, want: []string{`read/page.md:7`, `there is no package "layer9"`}},
		{name: "a link to a symbol that is gone", body: `See {{< src "layer3_cq" "Gone" >}}.`, want: []string{`read/page.md:7`, `package "layer3_cq" has no "Gone"`}},
		{name: "figures that no command wrote", body: `{{< figures "gone" >}}`, want: []string{`read/page.md:7`, `there are no figures figures/gone/cost.txt`}},
		{
			name: "figures without rows", body: `{{< figures "cq" >}}`, edits: []edit{{"layer3_cq/testdata/cost.txt", "", "# nothing\n"}},
			want: []string{`read/page.md:7`, `figures/cq/cost.txt`, `no rows`},
		},
		{name: "a shortcode that there is not", body: `{{< cod "layer3_cq" "Queue" >}}`, want: []string{`page.md:7`, `"cod"`}},
		{name: "a walk that there is not", body: `{{< walk "gone" >}}`, want: []string{`read/page.md:7`, `no trace traces/gone/gone.jsonl`}},
		{
			name: "a line of the trace is cut off", body: walk, edits: []edit{{trace, `"i":7,.*`, `"i":7,"t`}},
			want: []string{`read/page.md:7`, `unary.jsonl:8`},
		},
		{
			name: "an event without a lane", body: walk, edits: []edit{{trace, `("i":7,.*)"lane":"[^"]*",`, `$1`}},
			want: []string{`read/page.md:7`, `unary.jsonl:8`, `lane`},
		},
		{
			name: "an event that no rule tells", body: walk, edits: []edit{{trace, `("i":7,.*"op":)"[^"]*"`, `$1"nonsense"`}},
			want: []string{`read/page.md:7`, `no rule of data/walks/unary.yaml tells event 7`, `nonsense`},
		},
		{
			name: "a rule of a scene that there is not", body: walk, edits: []edit{{tale, `scene: stub, say: "The stub is asked`, `scene: gone, say: "The stub is asked`}},
			want: []string{`read/page.md:7`, `data/walks/unary.yaml has no scene "gone"`},
		},
		{
			name: "a rule without a sentence", body: walk, edits: []edit{{tale, `scene: stub, say: "The stub is asked[^"]*",`, `scene: stub,`}},
			want: []string{`read/page.md:7`, `data/walks/unary.yaml`, `stub.invoke`, `"say"`},
		},
		{
			name: "a rule without code", body: walk, edits: []edit{{tale, `, code: \[layer5_stubs, "\(\*ClientConn\).Invoke"\]`, ``}},
			want: []string{`read/page.md:7`, `data/walks/unary.yaml`, `stub.invoke`, `"code"`},
		},
		{
			name: "a rule names code that is gone", body: walk, edits: []edit{{tale, `"\(\*ClientConn\).Invoke"`, `"(*ClientConn).Gone"`}},
			want: []string{`read/page.md:7`, `data/walks/unary.yaml`, `package "layer5_stubs" has no "(*ClientConn).Gone"`},
		},
		{name: "a walk that nobody tells", body: walk, edits: []edit{{file: tale}}, want: []string{`read/page.md:7`, `data/walks/unary.yaml`}},
		{name: "a tale that is no YAML", body: walk, edits: []edit{{tale, `rules:`, "rules: [\n"}}, want: []string{`data/walks/unary.yaml:`}},
		{name: "the list of code is cut off", edits: []edit{{"site/data/quotes.json", "", "{\n \"layer3_cq\": {"}}, want: []string{`data/quotes.json:`}},
		{name: "there is no list of code", body: `{{< code "layer3_cq" "Queue" >}}`, edits: []edit{{file: "site/data/quotes.json"}}, want: []string{`read/page.md:7`, `data/quotes.json`, `make quotes`}},
		{
			name: "a layer without a page", body: `{{< layers >}}`, edits: []edit{{"site/data/layers.yaml", `, page: /read/40-cq`, ``}},
			want: []string{`data/layers.yaml: layer 3 of the list has no "page"`},
		},
		{name: "there are no layers", body: `{{< layers >}}`, edits: []edit{{file: "site/data/layers.yaml"}}, want: []string{`data/layers.yaml`}},
		{name: "there is no table of make bench", body: `{{< bench >}}`, edits: []edit{{file: "site/data/bench.json"}}, want: []string{`read/page.md:7`, `data/bench.json`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copySources(t)
			write(t, dir, "site/content/read/page.md", "---\ntitle: Page\n---\n\nA page.\n\n"+tc.body+"\n")
			for _, e := range tc.edits {
				apply(t, filepath.Join(dir, e.file), e)
			}
			out, err := build(t, dir)
			if tc.want == nil {
				if err != nil {
					t.Errorf("the build failed with %v\n%s", err, out)
				}
				return
			}
			if err == nil {
				t.Fatal("the build passed")
			}
			for _, w := range tc.want {
				if !strings.Contains(out, w) {
					t.Errorf("it does not say %q", w)
				}
			}
			if strings.Contains(out, "goroutine 1 [") {
				t.Error("it shows a stack")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// apply makes an edit, or removes the file if there is nothing to put there.
func apply(t *testing.T, name string, e edit) {
	t.Helper()
	if e.old == "" && e.new == "" {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := e.new
	if e.old != "" {
		changed = regexp.MustCompile(e.old).ReplaceAllString(string(text), e.new)
	}
	if changed == string(text) {
		t.Fatalf("nothing in %s matches %s", name, e.old)
	}
	if err := os.WriteFile(name, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}
