package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

// budget is the time that one run of the browser may take.
const budget = 15 * time.Minute

func main() {
	flag.Usage = usage
	flag.Parse()
	var r *report
	var err error
	switch flag.Arg(0) {
	case "links":
		r, err = links(flag.Args()[1:])
	case "browse":
		r, err = browse(flag.Args()[1:])
	default:
		usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sitetest: %v\n", err)
		os.Exit(2)
	}
	r.print(os.Stdout)
	if len(r.findings) > 0 {
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: sitetest links [-source prefix -root dir] folder\n       sitetest browse [-shots dir] folder")
}

// links runs the checks that need no browser.
func links(args []string) (*report, error) {
	flags := flag.NewFlagSet("links", flag.ExitOnError)
	source := flags.String("source", "", "the address that stands for the sources, up to the path of a file")
	root := flags.String("root", ".", "the folder that it stands for")
	_ = flags.Parse(args) // exits on errors
	s, err := loadSite(flags.Arg(0))
	if err != nil {
		return nil, err
	}
	r := &report{quiet: true}
	for _, p := range s.pages {
		checkLinks(r, s, p, sources{*source, *root})
		checkMarkup(r, p)
	}
	return r, s.checkSearchIndex(r)
}

// browse runs the checks in a browser.
func browse(args []string) (*report, error) {
	flags := flag.NewFlagSet("browse", flag.ExitOnError)
	shots := flags.String("shots", "", "the folder for a picture of each page; none if empty")
	_ = flags.Parse(args) // exits on errors
	s, err := loadSite(flags.Arg(0))
	if err != nil {
		return nil, err
	}
	if *shots != "" {
		if err := os.MkdirAll(*shots, 0o755); err != nil {
			return nil, err
		}
	}
	path, err := findChromium()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	b, err := startBrowser(ctx, path)
	if err != nil {
		return nil, err
	}
	defer b.close()
	url, stop, err := serve(s.dir)
	if err != nil {
		return nil, err
	}
	defer stop()

	r := &report{}
	for _, p := range s.pages {
		if err := checkPage(r, b, url, p, *shots); err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
	}
	if err := checkSearch(r, b, url, s); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	for _, p := range s.pages {
		if err := checkWalk(r, b, url, s, p, *shots, ""); err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
	}
	return r, nil
}
