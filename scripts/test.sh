#!/usr/bin/env bash
# Runs all tests, on software Vulkan and GL where there is no GPU. Arguments go to `cargo test`;
# RETROGRAD_TEST_FEATURES names cargo features to test with, such as cli,plots,images.
set -euo pipefail
cd "$(dirname "$0")/.."

# Software adapters run shaders on worker threads unless told not to; one thread per test is faster.
export LP_NUM_THREADS="${LP_NUM_THREADS:-0}"
# Mesa's GL looks for a place of its own.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR="$(mktemp -d)"
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi

# `grep -q` would end the pipe early, which `pipefail` takes for a failure.
has_library() {
    ldconfig -p 2>/dev/null | grep "$1" >/dev/null
}
has_vulkan() {
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null && has_library 'libvulkan\.so\.1'
}
has_gl() {
    has_library 'libEGL\.so\.1' && has_library 'libGLESv2\.so\.2'
}

if [ "$(uname -s)" = Linux ] && ! { has_vulkan && has_gl; }; then
    packages="mesa-vulkan-drivers libvulkan1 libegl1 libgles2"
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "installing software Vulkan and GL: $packages"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
    else
        echo "*** There is no Vulkan or GL adapter, so what needs one will not run."
        echo "*** On Debian or Ubuntu: sudo apt-get install $packages"
        echo "*** Elsewhere: install Mesa's lavapipe and llvmpipe."
    fi
fi

features=()
if [ -n "${RETROGRAD_TEST_FEATURES:-}" ]; then
    features=(--features "$RETROGRAD_TEST_FEATURES")
fi

cargo test --quiet "${features[@]}" "$@"

# Without arguments, the worked examples of backpropagation as well, number by number.
if [ $# = 0 ]; then
    RETROGRAD_DEVICE=cpu cargo run --quiet "${features[@]}" --example worked_examples -- --json | tail -n 2
    if has_vulkan; then
        RETROGRAD_DEVICE=vulkan cargo run --quiet "${features[@]}" --example worked_examples -- --json | tail -n 2
    fi
fi
