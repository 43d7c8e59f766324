#!/usr/bin/env bash
# Fetches the test data of ONNX (backend/test/data of the Python package `onnx`, Apache 2.0) into target/onnx-tests, where
# `cargo test --test onnx` finds it. The file is the same on every machine, and its hash has to be the one that PyPI states.
set -euo pipefail
cd "$(dirname "$0")/.."

version=1.22.0
wheel="onnx-$version-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
sha256=1d0a2bdb15eb2b3cb65c438f3423d9620d14fdce32f92380e6bb1b2e09568ef5
folder=target/onnx-tests

if [ -f "$folder/version" ] && [ "$(cat "$folder/version")" = "$version" ]; then
    echo "the test data of onnx $version is in $folder"
    exit 0
fi
download="$(mktemp -d)"
trap 'rm -rf "$download"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --abi cp311 \
    --dest "$download" "onnx==$version"
rm -rf "$folder"
# The data alone: models and tensors of the node tests, and the models that differentiate.
python3 - "$download/$wheel" "$sha256" "$folder" <<'PYTHON'
import hashlib, pathlib, sys, zipfile
source, sha256, folder = sys.argv[1:]
found = hashlib.sha256(pathlib.Path(source).read_bytes()).hexdigest()
if found != sha256:
    sys.exit(f"{source} has the SHA-256 {found}, and {sha256} is expected")
data = "onnx/backend/test/data/"
with zipfile.ZipFile(source) as wheel:
    for name in wheel.namelist():
        if name.startswith((data + "node/", data + "simple/")) and not name.endswith("/"):
            path = pathlib.Path(folder, name[len(data):])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wheel.read(name))
PYTHON
echo "$version" > "$folder/version"
echo "the test data of onnx $version is in $folder now"
