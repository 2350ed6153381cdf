#!/usr/bin/env bash
# The GPU session: run.sh [--rehearse] [PART ...]. Results go to $OUT (gpu_results/), scratch to $WORK (gpu_work/). See README.md.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

: "${OUT:=gpu_results}" "${WORK:=gpu_work}" "${PYTHON:=python3}" "${SECONDS_IN_ALL:=570}" "${WHEELS:=.wheels}"
export PYTHONPATH="$PWD:$PWD/tests" PYTHONDONTWRITEBYTECODE=1 OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false
if [ -d "$WHEELS" ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl || exit 1
    PYTHONPATH="$PYTHONPATH:$site"
fi
for word in "$@"; do
    if [ "$word" = --rehearse ]; then
        export LLDM_AUG_REHEARSE=1 CUDA_VISIBLE_DEVICES=""
    fi
done
"$PYTHON" -m gpu.parts --work "$WORK" --out "$OUT" --seconds "$SECONDS_IN_ALL" "$@"
code=$?
tail -n 40 "$OUT/log.txt"
exit $code
