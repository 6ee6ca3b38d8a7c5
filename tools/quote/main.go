package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the top of the repository")
	out := flag.String("o", "", "the file to write; standard output if empty")
	flag.Parse()
	if err := run(*root, *out); err != nil {
		fmt.Fprintf(os.Stderr, "quote: %v\n", err)
		os.Exit(1)
	}
}

// run writes the index of root to the file out.
func run(root, out string) error {
	ix, err := load(root)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(ix, "", " ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}
