// Package transcript runs golden conversations: text files whose blocks each
// hold an input and what is to come of it.
//
//	# Comments teach, and stand before the input that they are about.
//	recv SETTINGS initial_window=10
//	----
//	send SETTINGS ACK
//
// A change of behaviour shows as a change of such a file, in plain words.
package transcript

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected output of transcripts; review the diff")

// Run replays the blocks of the file at path, which are separated by blank
// lines. Each is comments, input lines, "----", and the expected output. step
// is given one input line after another, in order, and returns its output.
func Run(t *testing.T, path string, step func(input string) string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(want)), "\n\n") {
		input, _, _ := strings.Cut(block, "\n----")
		got.WriteString(input + "\n----\n")
		for line := range strings.SplitSeq(input, "\n") {
			if !strings.HasPrefix(line, "#") {
				got.WriteString(step(line))
			}
		}
		got.WriteString("\n")
	}
	text := strings.TrimSpace(got.String()) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if text != strings.TrimSpace(string(want))+"\n" {
		t.Errorf("%s differs; rerun with -update and review the diff. Got:\n%s", path, text)
	}
}
