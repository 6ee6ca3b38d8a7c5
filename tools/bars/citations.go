package main

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// A citation has one form, so that one grep finds all code that obeys a
// section: RFC 9113 §6.9.1, gRFC A6, gRPC-HTTP2 Length-Prefixed-Message.
var (
	anyRFC      = regexp.MustCompile(`(?i)\brfcs?[ -]*(\d{3,5})`)
	wordSection = regexp.MustCompile(`(?i)^,? *(section|sections|sect\.|sec\.|ch\.|chapter)\b`)
	looseSign   = regexp.MustCompile(`^(,? *§ +\d|, *§|§|,? +\d+\.\d)`)
	cited       = regexp.MustCompile(`^ §([0-9A-Z]+(?:\.[0-9]+)*)`)
	anyGRFC     = regexp.MustCompile(`(?i)\bgrfcs?[ -]*([a-z]?-?\d+)`)
	anyWire     = regexp.MustCompile(`(?i)\bgrpc[- ]http2 [A-Z]`)
	specLink    = regexp.MustCompile(`https?://[\w.-]*(rfc-editor\.org|ietf\.org|httpwg\.org|github\.com|grpc\.io|go\.dev)`)
)

// obsolete maps an RFC to the one that replaced it.
var obsolete = map[string]string{"7540": "9113", "8740": "9113", "7230": "9110", "7231": "9110"}

// checkCitations looks at the form of each citation, and for the two RFCs that
// layer 1 implements whether the section exists.
func checkCitations(t *tree) {
	for _, p := range t.packages {
		for _, f := range p.written() {
			for _, group := range f.ast.Comments {
				checkCitedGroup(t, f, group)
			}
		}
	}
}

// checkCitedGroup looks at one comment. Its lines are joined first, since a
// citation may be broken between them.
func checkCitedGroup(t *tree, f *file, group *ast.CommentGroup) {
	text, starts := joined(t, group)
	at := func(offset int) token.Pos {
		pos := group.Pos()
		for _, s := range starts {
			if s.offset <= offset {
				pos = s.pos
			}
		}
		return pos
	}
	for _, m := range anyRFC.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > 0 && text[m[0]-1] == '/' {
			continue // part of a link
		}
		number, rest := text[m[2]:m[3]], text[m[1]:]
		if fault := rfcFault(text[m[0]:m[3]], number, rest); fault != "" {
			t.report(f, at(m[0]), "citation", "%s", fault)
		}
	}
	for _, m := range anyGRFC.FindAllStringSubmatchIndex(text, -1) {
		got, number := text[m[0]:m[1]], text[m[2]:m[3]]
		if want := "gRFC " + strings.ToUpper(number); got != want || number[0] < 'A' || number[0] > 'Z' {
			t.report(f, at(m[0]), "citation", "%q: write gRFC A6", got)
		}
	}
	for _, m := range anyWire.FindAllStringIndex(text, -1) {
		if got := text[m[0] : m[1]-2]; got != "gRPC-HTTP2" {
			t.report(f, at(m[0]), "citation", "%q: write gRPC-HTTP2 and the production", got)
		}
	}
	if path.Base(f.path) != "doc.go" {
		if m := specLink.FindStringIndex(text); m != nil {
			t.report(f, at(m[0]), "citation", "links stand in doc.go, once")
		}
	}
}

// rfcFault says what is wrong with a citation: head is its text up to the
// number, rest what follows. It returns "" for a good one.
func rfcFault(head, number, rest string) string {
	if head != "RFC "+number {
		return "\"" + head + "\": write RFC " + number
	}
	m := cited.FindStringSubmatch(rest)
	// RFC 9113 dropped the priorities of RFC 7540 §5.3, which can still be met.
	priority := m != nil && number == "7540" && strings.HasPrefix(m[1], "5.3")
	if by, ok := obsolete[number]; ok && m != nil && !priority {
		return "RFC " + number + " is obsolete: cite RFC " + by
	}
	if wordSection.MatchString(rest) || looseSign.MatchString(rest) {
		return "\"" + head + rest[:min(len(rest), 12)] + "\": write RFC " + number + " §1.2.3"
	}
	known := rfcSections[number]
	if m == nil || known == nil {
		return ""
	}
	if !known[m[1]] {
		return "RFC " + number + " has no §" + m[1]
	}
	return ""
}

// A lineAt is where a line of a comment begins in the joined text.
type lineAt struct {
	offset int
	pos    token.Pos
}

// joined returns the words of a comment, one space between them.
func joined(t *tree, group *ast.CommentGroup) (string, []lineAt) {
	var text strings.Builder
	var starts []lineAt
	for _, c := range group.List {
		for i, line := range strings.Split(c.Text, "\n") {
			starts = append(starts, lineAt{text.Len(), lineStart(t, c.Pos(), i)})
			line = strings.TrimPrefix(strings.TrimSpace(line), "//")
			text.WriteString(strings.Join(strings.Fields(line), " ") + " ")
		}
	}
	return text.String(), starts
}
