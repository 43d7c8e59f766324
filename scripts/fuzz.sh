#!/usr/bin/env bash
# Fuzzes every reader of files, or those named: `fuzz.sh [seconds for each] [targets]`. Needs a nightly compiler, and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-60}"
shift || true
sanitizer="${RETROGRAD_FUZZ_SANITIZER:-none}" # or `address`, which takes far longer to build
RETROGRAD_FUZZ_SEEDS="$PWD/fuzz/corpus" RETROGRAD_TEST_CASES=1 cargo test --quiet --test parsers
mkdir -p fuzz/corpus/tuning_cache
cp tests/common/tuning.json fuzz/corpus/tuning_cache/
cd fuzz
for target in ${@:-$(cargo +nightly fuzz list)}; do
    mkdir -p "corpus/$target"
    echo "*** $target"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1
done
