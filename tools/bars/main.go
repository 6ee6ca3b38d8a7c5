package main

import (
	"flag"
	"fmt"
	"os"
)

// rules lists every rule: what it looks at and where it is explained is one
// function each.
var rules = []func(*tree){
	checkSizes,
	checkFolders,
	checkFigures,
	checkPackageDocs,
	checkDocNames,
	checkExported,
	checkFileNames,
	checkImportNames,
	checkPackageState,
	checkMarkers,
	checkCitations,
	checkGoroutines,
	checkSleep,
}

func main() {
	root := flag.String("root", ".", "the top of the repository")
	write := flag.Bool("w", false, "api: rewrite the listings")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bars [-root dir] check | bars [-root dir] [-w] api")
		flag.PrintDefaults()
	}
	flag.Parse()

	t, err := loadTree(*root)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bars: %v\n", err)
		os.Exit(2)
	}
	var ok bool
	switch flag.Arg(0) {
	case "check":
		ok = check(t)
	case "api":
		ok, err = checkAPI(os.Stdout, t, *write)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bars: %v\n", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// check applies every rule and prints the findings and the figures.
func check(t *tree) bool {
	for _, rule := range rules {
		rule(t)
	}
	findings := t.findings()
	for _, f := range findings {
		fmt.Println(f)
	}
	printShares(os.Stdout, t)
	fmt.Println(t.figures())
	fmt.Printf("bars: %d findings, %d switched off with a reason\n", len(findings), t.allowed)
	return len(findings) == 0
}
