package main

import (
	"fmt"
	"strings"
)

// rfcSections has the sections of the RFCs that are checked by section.
var rfcSections = map[string]map[string]bool{
	// HTTP/2
	"9113": numbered(`1 2 2.1-2.2 3 3.1-3.4 4 4.1-4.3 4.3.1 5 5.1-5.5 5.1.1-5.1.2 5.2.1-5.2.3
		5.3.1-5.3.2 5.4.1-5.4.3 6 6.1-6.10 6.5.1-6.5.3 6.9.1-6.9.3 7 8 8.1-8.8 8.1.1 8.2.1-8.2.3
		8.3.1-8.3.2 8.4.1-8.4.2 8.8.1-8.8.5 9 9.1-9.2 9.1.1 9.2.1-9.2.3 10 10.1-10.9 10.5.1-10.5.2
		11 11.1-11.2 12 12.1-12.2 A B`),
	// HPACK
	"7541": numbered(`1 1.1-1.3 2 2.1-2.4 2.3.1-2.3.3 3 3.1-3.2 4 4.1-4.4 5 5.1-5.2 6 6.1-6.3
		6.2.1-6.2.3 7 7.1-7.4 7.1.1-7.1.3 8 8.1-8.2 A B C C.1-C.6 C.1.1-C.1.3 C.2.1-C.2.4
		C.3.1-C.3.3 C.4.1-C.4.3 C.5.1-C.5.3 C.6.1-C.6.3`),
}

// numbered expands a list of sections, in which 6.1-6.3 stands for three.
func numbered(list string) map[string]bool {
	sections := map[string]bool{}
	for _, item := range strings.Fields(list) {
		from, to, isRange := strings.Cut(item, "-")
		if !isRange {
			sections[item] = true
			continue
		}
		dot := strings.LastIndexByte(from, '.')
		var low, high int
		fmt.Sscan(from[dot+1:], &low)
		fmt.Sscan(to[dot+1:], &high)
		for n := low; n <= high; n++ {
			sections[fmt.Sprintf("%s.%d", from[:dot], n)] = true
		}
	}
	return sections
}
