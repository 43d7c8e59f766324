#!/usr/bin/env bash
# Does what the guide's first chapter says, and nothing else: makes a project of the blocks that it shows, runs it on the CPU, and
# compares what it prints with what the chapter says it prints.
set -euo pipefail
cd "$(dirname "$0")/.."

chapter=docs/src/first_network.md
project="$PWD/target/first_network/circle"
rm -rf "$project"
mkdir -p "$project/src"

# The first block of this language, without the lines that the book hides.
block() {
    awk -v fence="\`\`\`$1" 'index($0, fence) == 1 && !done { inside = 1; next }
        /^```/ && inside { inside = 0; done = 1 }
        inside && $0 !~ /^# / && $0 !~ /^#$/' "$chapter"
}

block toml | sed "s|path = \"../retrograd\"|path = \"$PWD\"|" > "$project/Cargo.toml"
# (Comments of the TOML are dropped with them.)
block rust > "$project/src/main.rs"
# The versions that are tested, where there are any.
if [ -f Cargo.lock ]; then
    cp Cargo.lock "$project/Cargo.lock"
fi
block text > target/first_network/expected
(cd "$project" && RETROGRAD_DEVICE=cpu CARGO_TARGET_DIR="$project/../target" cargo run --quiet) > target/first_network/printed
if ! diff target/first_network/expected target/first_network/printed; then
    echo "the guide's first chapter does not print what it says (< said, > printed)" >&2
    exit 1
fi
echo "the guide's first chapter does what it says"
