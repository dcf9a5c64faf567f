#!/usr/bin/env bash
# One run on a machine with a graphics card: tests of everything that has a device, then times,
# precision and peak memory of all qualities at 1024 px. Prints tables; writes logs to $OUT.
#
#     OUT=/tmp/gpu bash tests/benchmarks/gpu.sh [cuda]
set -u
cd "$(dirname "$0")/../.."
device=${1:-cuda} out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
step() { printf '\n=== %s (%ss)\n' "$*" "$SECONDS"; }

step "the machine"
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv

step "install"
if ! python3 -c 'import layered_nst, pytest' 2>/dev/null; then
    python3 -m pip install --quiet -e '.[dev]' 2>&1 | tail -3
fi
python3 - <<'PY'
import torch

print("torch", torch.__version__, "cuda", torch.version.cuda, torch.cuda.is_available())
PY

step "tests that look at a device"
timeout 240 python3 -m pytest -q -k "device or cuda or precision" 2>&1 | tee "$out/tests.txt" | tail -5

step "times, precision, memory"
timeout 300 python3 tests/benchmarks/gpu.py --device "$device" --rounds 3 2>&1 | tee "$out/times.txt"
step "done"
