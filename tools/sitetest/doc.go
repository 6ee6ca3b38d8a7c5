// Command sitetest checks the built site.
//
//	sitetest links [-source prefix -root dir] site/public
//	sitetest browse [-shots dir] site/public
//
// links parses the pages and needs no browser. browse serves the folder on a
// port of 127.0.0.1 and drives a headless Chromium, over the pipe that
// --remote-debugging-pipe gives. Both print the page and what is wrong with
// it, and exit with status 1 if anything is.
//
// # Contract
//
//   - links: every link and fragment inside the site holds, a link to the
//     sources names a file and lines that exist, nothing is loaded from
//     another host, a page has one h1, a title and a language, an id stands
//     once, and pictures have names.
//   - browse, each page: it loads without errors, fetches from this site only,
//     what can be operated has a name, text has contrast in light and dark,
//     nothing is cut or overlaps, at a desk and on a phone, and nothing moves
//     for who prefers that. It writes a picture of each, for a person to look at.
//   - browse, the site: search finds each layer, and each walk can be stepped
//     through by keyboard, pointer and address, and read without scripts.
//   - Chromium is the one that CHROMIUM names, or that is in PATH, or it is
//     installed with apt-get.
//   - Not here: links to other sites. They would make the result depend on them.
//
// # Goroutines
//
//	name             started by     ends when
//	(*browser).read  startBrowser   the browser closes its pipe
//
// # Locks
//
// browser.mu < tab.mu. Neither is held while something is written or awaited.
//
// # Reading order
//
// main.go, report.go, site.go, links.go, markup.go, chromium.go, browser.go,
// tab.go, input.go, pages.go and audit.js, search.go, walk.go.
package main
