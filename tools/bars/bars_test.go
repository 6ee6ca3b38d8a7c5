package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A scene is a tree in a text file: lines "want file:line: rule" that must be
// the findings, then the files. In a file's text, a line "LONG n" stands for n
// comment lines; "FILES dir n" stands for a folder with n source files; a line
// "also …" is a want that reads better beside its file.
type scene struct {
	want  []string
	files map[string]string
}

// readScene reads a scene.
func readScene(t *testing.T, path string) scene {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := scene{files: map[string]string{}}
	name := ""
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 3 && words[0] == "--" && words[2] == "--":
			name = words[1]
			s.files[name] = ""
		case len(words) == 3 && (words[0] == "want" || words[0] == "also"):
			s.want = append(s.want, words[1]+" "+words[2])
		case len(words) == 3 && words[0] == "FILES":
			s.addFolder(t, words[1], words[2])
		case len(words) == 2 && words[0] == "LONG":
			s.files[name] += strings.Repeat("//\n", atoi(t, words[1]))
		case name != "":
			s.files[name] += line
		}
	}
	slices.Sort(s.want)
	return s
}

// addFolder adds n source files to a folder.
func (s *scene) addFolder(t *testing.T, dir, n string) {
	t.Helper()
	for i := range atoi(t, n) {
		text := "package " + dir + "\n"
		if i == 1 {
			text = "// Package " + dir + " is\n// large.\n" + text
		}
		s.files[fmt.Sprintf("%s/%s%02d.go", dir, dir, i+1)] = text
	}
}

// atoi parses a number of a scene.
func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// write puts the files of a scene into a folder of their own.
func (s scene) write(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range s.files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// own maps a scene to the rules it is about; the rest of its tree is too small
// to please the other rules. A scene that is not here is about all rules.
var own = map[string][]func(*tree){
	"sizes":        {checkSizes},
	"folders":      {checkFolders},
	"packagedocs":  {checkPackageDocs},
	"docnames":     {checkDocNames},
	"exported":     {checkExported},
	"names":        {checkFileNames, checkImportNames},
	"packagestate": {checkPackageState},
	"markers":      {checkMarkers},
	"citations":    {checkCitations},
	"goroutines":   {checkGoroutines},
	"sleep":        {checkSleep},
	"skipped":      rules,
}

func TestRules(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) != len(own) {
		t.Fatalf("%d scenes for %d sets of rules: %v", len(paths), len(own), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			s := readScene(t, path)
			tr, err := loadTree(s.write(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, rule := range own[name] {
				rule(tr)
			}
			var got []string
			for _, f := range tr.findings() {
				got = append(got, fmt.Sprintf("%s:%d: %s", f.path, f.line, f.rule))
			}
			slices.Sort(got)
			if !slices.Equal(got, s.want) {
				t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(s.want, "\n  "))
			}
		})
	}
}

func TestFiguresMissTheBar(t *testing.T) {
	s := scene{files: map[string]string{"go.mod": ""}}
	long := "func f%d() {\n" + strings.Repeat("//\n", p90FuncLines) + "}\n"
	text := "package a\n"
	for i := range minSample {
		text += fmt.Sprintf(long, i)
	}
	s.files["a/a.go"] = text
	tr, err := loadTree(s.write(t))
	if err != nil {
		t.Fatal(err)
	}
	checkFigures(tr)
	if len(tr.found) != 2 || tr.found[0].rule != "file-size" || tr.found[1].rule != "func-size" {
		t.Errorf("found %v, want one for files and one for functions", tr.found)
	}
	if got := tr.figures(); !strings.Contains(got, "p90 32 lines") {
		t.Errorf("figures = %q, want p90 32 lines", got)
	}
}

func TestCommentLines(t *testing.T) {
	s := scene{files: map[string]string{"go.mod": "", "a/a.go": `// Package a is
// small.
package a

/* one
two */
var a = "// no comment" // nor is this line

/* head */ var b int
`}}
	tr, err := loadTree(s.write(t))
	if err != nil {
		t.Fatal(err)
	}
	comments, all := tr.commentLines(tr.packages[0].files[0])
	if comments != 5 || all != 7 {
		t.Errorf("%d comment lines of %d, want 5 of 7", comments, all)
	}
}

func TestRFCSections(t *testing.T) {
	for _, tc := range []struct {
		rfc, section string
		want         bool
	}{
		{"9113", "6.9.1", true},
		{"9113", "6.10", true},
		{"9113", "6.11", false},
		{"9113", "8.2.2", true},
		{"7541", "6.2.3", true},
		{"7541", "C.4.3", true},
		{"7541", "9", false},
	} {
		if got := rfcSections[tc.rfc][tc.section]; got != tc.want {
			t.Errorf("RFC %s has a section %s: %v, want %v", tc.rfc, tc.section, got, tc.want)
		}
	}
}
