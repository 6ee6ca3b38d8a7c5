# Entry points of the repository; `make help` lists them. Go and make are
# enough for all of them; a C compiler adds the race detector to the tests.

GO       ?= go
FUZZTIME ?= 2s

MODULE  := github.com/strata-grpc/strata
BIN     := bin
SHELL   := /bin/sh
# Each module is built alone, whatever workspace a developer has.
export GOWORK := off

# Every module of the tree, the library's own first.
MODULES := $(sort $(dir $(shell find . \( -name '.?*' -o -name testdata -o -name node_modules -o -path ./$(BIN) \) -prune -o -name go.mod -print)))
# What every program of the library's module must build and vet on. The last
# is for the packages alone: a browser runs no commands.
PLATFORMS := linux/amd64 darwin/arm64 windows/amd64
WASM      := js/wasm

# in-modules runs a shell command in each module that has packages; a module
# that only pins a tool has none.
in-modules = for m in $(MODULES); do \
	if [ -n "$$(cd $$m && $(GO) list -e ./... 2>/dev/null)" ]; then (cd $$m && $(1)) || exit 1; fi; done

.PHONY: all help walk test fuzz fuzz-short test-full poison h2spec h2specd end2end attacks check fmt vet lint layers bars \
	checkapi api generate checkgenerate bench cost release site site-test serve quotes goldens clean

all: check test ## check and test: what a change must pass

help: ## print this list
	@awk -F ':[^#]*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

walk: ## one traced unary call over loopback TCP, printed layer by layer
	@cd walkthroughs && $(GO) run ./unary

# --- tests -------------------------------------------------------------------

test: $(BIN)/testsum ## all modules under the race detector, allocation tests, each fuzz target for FUZZTIME
	@$(BIN)/testsum -fuzztime=$(FUZZTIME)

fuzz-short: $(BIN)/testsum ## each fuzz target for FUZZTIME (2s)
	@$(BIN)/testsum -only=fuzz -fuzztime=$(FUZZTIME)

fuzz: FUZZTIME = 5m
fuzz: $(BIN)/testsum ## each fuzz target for FUZZTIME (5m)
	@$(BIN)/testsum -only=fuzz -fuzztime=$(FUZZTIME)

test-full: FUZZTIME = 1m
test-full: $(BIN)/testsum ## what is too long for the gate: no -short, each fuzz target for 1m, make poison, make site-test
	@$(BIN)/testsum -full -timeout=30m -fuzztime=$(FUZZTIME)
	@$(MAKE) --no-print-directory poison
	@$(MAKE) --no-print-directory site-test

poison: ## the tests of layers 4 and 5 in a build that fills released call blocks, so that late uses are found
	@echo "test: released call blocks are filled"
	@$(GO) test -tags strata_poison $(if $(shell command -v $${CC:-cc}),-race) ./layer4_surface/... ./layer5_stubs/...

# Both are part of make test. Here H2SPECFLAGS=-v shows what a case expected.
h2spec: $(BIN)/h2spec ## the 146 cases of h2spec: the transport, plain and TLS, and the whole server
	@cd tests && $(GO) run ./h2spec server -tool=$(CURDIR)/$(BIN)/h2spec $(H2SPECFLAGS)

h2specd: $(BIN)/h2specd ## the 57 cases of h2specd: the client
	@cd tests && $(GO) run ./h2spec client -tool=$(CURDIR)/$(BIN)/h2specd $(H2SPECFLAGS)

# Part of make test too. A case: cd tests && go test ./end2end -run 'TestEnd2End/tcp/ping/Ping$$'
end2end: ## gRPC core's end2end suite over seven fixtures, with the table name x fixture
	@cd tests && $(GO) test -count=1 ./end2end && cat end2end/table.txt

# ATTACKFLAGS="-only a1,b2 -json rows.json" chooses attacks and keeps the figures.
attacks: ## attacks on HTTP/2 and gRPC, on Strata and grpc-go side by side
	@cd tests && $(GO) run ./attacks $(ATTACKFLAGS)

ifneq ($(wildcard tests/bench/.),)
bench: ## benchmarks side by side with other implementations, with ratios; rewrites the site's table
	@cd tests && $(GO) run ./bench -json $(CURDIR)/site/data/bench.json
else
bench:
	@$(GO) test -run='^$$' -bench=. -benchmem ./...
endif

cost: ## measure what filters, stacks and the ways to wait for a call cost; rewrites the tables in layers 2 and 3. Wants a quiet machine
	@$(GO) test -count=1 -v -run='^TestCost$$' ./layer2_callstack/stacks -cost=testdata/cost.txt
	@$(GO) test -count=1 -run='^TestDocHasTheCosts$$' ./layer2_callstack/stacks -update-cost
	@$(GO) test -count=1 -v -run='^TestCost$$' ./layer4_surface -cost=$(CURDIR)/layer3_cq/testdata/cost.txt
	@$(GO) test -count=1 -run='^TestDocHasTheCosts$$' ./layer3_cq -update-cost

# --- checks ------------------------------------------------------------------

CHECKS := fmt vet lint layers bars checkapi checkgenerate

check: ## format, vet, staticcheck, layer rule, bars, API listing, generated code
	@$(MAKE) --no-print-directory -k $(CHECKS)

fmt:
	@echo "check: gofmt"
	@files=$$(find . \( -name '.?*' -o -name testdata -o -name node_modules \) -prune -o -name '*.go' -print | xargs gofmt -l -s); \
	if [ -n "$$files" ]; then echo "gofmt -s -w would change:"; echo "$$files"; exit 1; fi

vet:
	@for p in $(PLATFORMS); do echo "check: go vet $$p"; \
	GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./... || exit 1; done
	@echo "check: go vet $(WASM)"
	@GOOS=js GOARCH=wasm $(GO) vet $$(GOOS=js GOARCH=wasm $(GO) list -e -f '{{if ne .Name "main"}}{{.ImportPath}}{{end}}' ./...)
	@echo "check: go vet, nested modules"
	@$(call in-modules,[ $$m = ./ ] || $(GO) vet ./...)

lint: $(BIN)/staticcheck
	@echo "check: staticcheck"
	@$(call in-modules,$(CURDIR)/$(BIN)/staticcheck ./...)

layers:
	@echo "check: layer rule"
	@cd tests && $(GO) test -count=1 -run='^Test(ImportsFollowTheLayers|ImportFault|ExternalFault|LibraryLinksNoHTTPServer|Requirements)$$' .

bars: $(BIN)/bars
	@echo "check: bars"
	@$(BIN)/bars check

checkapi: $(BIN)/bars
	@echo "check: API listing"
	@$(BIN)/bars api

api: $(BIN)/bars ## rewrite the API listings in api/; review the diff
	@$(BIN)/bars -w api

# --- generated code ----------------------------------------------------------

# The names and hashes of all generated files, one a line.
GENERATED = find . \( -name '.?*' -o -name testdata \) -prune -o -name '*.pb.go' -print | sort | xargs cksum

ifneq ($(wildcard tools/gen/go.mod),)
generate: ## rewrite the generated code; needs no protoc
	@cd tools/gen && $(GO) run . -all

# Compares the files before and after rather than with the last commit, so
# that it says the same in a working tree that is being edited.
checkgenerate:
	@echo "check: generated code is up to date"
	@mkdir -p $(BIN)
	@$(GENERATED) > $(BIN)/generated.before
	@$(MAKE) --no-print-directory generate
	@$(GENERATED) > $(BIN)/generated.after
	@diff $(BIN)/generated.before $(BIN)/generated.after || { \
		echo "generated code was not up to date; make generate has rewritten it: review and commit it"; exit 1; }
else
generate checkgenerate:
	@echo "nothing is generated: tools/gen does not exist"
endif

# --- releases and tools ------------------------------------------------------

release: ## VERSION=v1.2.3: check and test, then make the nested modules require that version
	@tools/release.sh "$(VERSION)" $(patsubst ./%,%,$(filter-out ./,$(MODULES)))

# --- the site ----------------------------------------------------------------

# Hugo fetches the theme through the module proxy that Go uses. A warning is an
# error: what is missing or out of date fails the build with its place.
HUGO := HUGO_MODULE_PROXY="$$($(GO) env GOPROXY)" $(CURDIR)/$(BIN)/hugo

quotes: $(BIN)/quote
	@$(BIN)/quote -root . -o site/data/quotes.json

# The walk is drawn from what this test has checked.
goldens:
	@cd walkthroughs && $(GO) test ./... >/dev/null || (cd walkthroughs && $(GO) test ./...)

site: $(BIN)/hugo $(BIN)/sitetest quotes goldens ## the documentation, into site/public
	@echo "site: building site/public"
	@cd site && { out=$$($(HUGO) --panicOnWarning --cleanDestinationDir 2>&1) || { echo "$$out"; exit 1; }; }
	@$(BIN)/sitetest links -source https://$(MODULE)/blob/main/ -root . site/public

site-test: site ## the site in a browser: every page, search, the walks by keyboard; pictures in site/screenshots
	@echo "site: looking at each page in a browser"
	@$(BIN)/sitetest browse -shots site/screenshots site/public
	@echo "site: what must be found, and bad input"
	@cd tools/sitetest && $(GO) test -count=1 -tags sitetest .

serve: $(BIN)/hugo quotes ## build the site and serve it on port 1313, again after each change
	@cd site && $(HUGO) server --panicOnWarning

clean: ## remove what was built
	rm -rf $(BIN) site/public site/resources site/screenshots site/data/quotes.json

$(BIN)/testsum: $(wildcard tools/testsum/*.go tools/testsum/go.mod)
	@cd tools/testsum && $(GO) build -o ../../$@ .

$(BIN)/bars: $(wildcard tools/bars/*.go tools/bars/go.mod)
	@cd tools/bars && $(GO) build -o ../../$@ .

$(BIN)/h2spec $(BIN)/h2specd: tools/h2spec/go.mod
	@echo "building $(@F)"
	@cd tools/h2spec && $(GO) build -o ../../$@ github.com/summerwind/h2spec/cmd/$(@F)

$(BIN)/quote: $(wildcard tools/quote/*.go tools/quote/go.mod)
	@cd tools/quote && $(GO) build -o ../../$@ .

$(BIN)/sitetest: $(wildcard tools/sitetest/*.go tools/sitetest/*.js tools/sitetest/go.mod)
	@cd tools/sitetest && $(GO) build -o ../../$@ .

$(BIN)/hugo: tools/hugo/go.mod
	@echo "building hugo, which takes some minutes the first time"
	@cd tools/hugo && CGO_ENABLED=0 $(GO) build -o ../../$@ github.com/gohugoio/hugo

$(BIN)/staticcheck: tools/staticcheck/go.mod
	@echo "building staticcheck"
	@cd tools/staticcheck && $(GO) build -o ../../$@ honnef.co/go/tools/cmd/staticcheck
