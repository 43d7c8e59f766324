#!/usr/bin/env bash
# Builds the guide in docs/ as a website, into target/book. mdBook is installed once, into target/tools.
# A warning fails: a page that includes what is not there is not worth having. The code in the guide is tested
# elsewhere, by `cargo test --doc`.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.5.4
tools=target/tools

if ! [ -x "$tools/bin/mdbook" ] || [ "$("$tools/bin/mdbook" --version)" != "mdbook v$version" ]; then
    echo "installing mdBook $version into $tools"
    # Unoptimised: it is compiled in a third of the time, and builds the book in a second.
    CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --debug --no-default-features --features search \
        --version "$version" --root "$tools" mdbook
fi

log="$(mktemp)"
trap 'rm -f "$log"' EXIT
status=0
"$tools/bin/mdbook" build docs --dest-dir "$PWD/target/book" 2>&1 | tee "$log" || status=$?
if [ "$status" != 0 ] || grep -qwE 'WARN|ERROR|warning|error' "$log"; then
    echo "the guide is not built without warnings" >&2
    exit 1
fi
echo "the guide is in target/book/index.html"
