#!/bin/sh
# release.sh VERSION MODULE... prepares a release: `make release VERSION=v1.2.3`.
#
# It checks and tests the tree, then makes each nested module require VERSION
# of the modules of this repository instead of the folder beside it. It commits
# and tags nothing; it prints what is left to do.
set -eu

module=github.com/strata-grpc/strata
version=${1:?usage: make release VERSION=v1.2.3}
shift

if ! printf '%s\n' "$version" | grep -Eq '^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$'; then
	echo "release: VERSION must look like v1.2.3, not $version" >&2
	exit 2
fi
if [ -n "$(git status --porcelain)" ]; then
	echo "release: the working tree has changes; commit them first" >&2
	exit 1
fi
if ! grep -qF "## [${version#v}]" CHANGELOG.md; then
	echo "release: CHANGELOG.md has no section ## [${version#v}]" >&2
	exit 1
fi
if [ "$(git tag -l "$version")" ]; then
	echo "release: $version is tagged already" >&2
	exit 1
fi
make check test

changed=
for dir in "$@"; do
	dir=${dir%/}
	# The modules of this repository that the module replaces by a folder.
	replaced=$(cd "$dir" && go mod edit -json | awk -F'"' -v m="$module" '
		/"Replace": \[/ { inside = 1 }
		inside && $2 == "Path" && index($4, m) == 1 { print $4 }')
	[ -n "$replaced" ] || continue
	for path in $replaced; do
		(cd "$dir" && go mod edit -require="$path@$version" -dropreplace="$path")
	done
	changed="$changed $dir"
done

cat <<END

These modules now require $version:$changed

Left to do:
  git commit -a -m 'repo: release $version'
  git tag $version$(for dir in $changed; do printf ' && git tag %s/%s' "$dir" "$version"; done)
  git push --tags, then in each of them: GOWORK=off go mod tidy
  revert the commit on the main branch, where nested modules use the folders
END
