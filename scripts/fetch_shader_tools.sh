#!/usr/bin/env bash
# Gets what `cargo test --test targets` compiles shaders with:
# - spirv-val and glslangValidator, from Debian's packages, as root where they are missing;
# - Tint, the WGSL compiler of Chromium, into target/tint: Dawn as the npm package `webgpu` ships it (BSD), for which node runs
#   scripts/tint.mjs. Nothing of the package is run while it is fetched, and its hash has to be this one.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.6.2
sha512=3L4GfmqJLvYUIEWJngEQY+2HQiUlAFkg8+P8NDDj3Xx5hHHIFO/r8JW+ynfqBj7kHN4mbnwO74uB+lrRtLhp4Q==
folder=target/tint

if ! { command -v spirv-val && command -v glslangValidator; } >/dev/null; then
    packages="spirv-tools glslang-tools"
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "installing $packages"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
    else
        echo "spirv-val or glslangValidator is missing; on Debian or Ubuntu: sudo apt-get install $packages" >&2
        exit 1
    fi
fi

if [ -f "$folder/version" ] && [ "$(cat "$folder/version")" = "$version" ]; then
    echo "Tint, of the npm package webgpu $version, is in $folder"
    exit 0
fi
if ! { command -v node && command -v npm; } >/dev/null; then
    echo "node or npm is missing, which Tint is fetched and run with" >&2
    exit 1
fi
download="$(mktemp -d)"
trap 'rm -rf "$download"' EXIT
npm pack --silent --pack-destination "$download" "webgpu@$version" >/dev/null
found="$(node -e '
const { createHash } = require("node:crypto"), { readFileSync } = require("node:fs");
console.log(createHash("sha512").update(readFileSync(process.argv[1])).digest("base64"));
' "$download/webgpu-$version.tgz")"
if [ "$found" != "$sha512" ]; then
    echo "webgpu-$version.tgz has the SHA-512 $found, and $sha512 is expected" >&2
    exit 1
fi
rm -rf "$folder"
mkdir -p "$folder"
tar -xzf "$download/webgpu-$version.tgz" -C "$folder" --strip-components=1
# The package has programs for five platforms.
platform="$(node -p 'process.platform + "-" + (process.platform === "darwin" ? "universal" : process.arch)')"
find "$folder/dist" -mindepth 1 -maxdepth 1 ! -name "$platform" -exec rm -rf {} +
echo "$version" > "$folder/version"
echo "Tint, of the npm package webgpu $version, is in $folder now"
