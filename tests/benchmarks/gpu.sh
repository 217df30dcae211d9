#!/bin/sh
# Everything about GPUs on one card, within four minutes: is it exact, is it right, how fast is it?
#
#     sh tests/benchmarks/gpu.sh [FOLDER FOR THE FIGURES]
#
# It installs nothing: the package with its extras `gpu` and `test` has to be there, and MNIST in
# $CRYPTONETS_DATA or the user's cache.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-.}
export OPENBLAS_NUM_THREADS=1
run() { timeout "$1" "$PYTHON" -m nn "$2" $3 --device gpu; }
PYTHON=${PYTHON:-python3}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
"$PYTHON" -c "import cupy, numpy; print('CuPy', cupy.__version__, 'NumPy', numpy.__version__)"

echo "--- is the matrix product exact, and is everything what a processor computes?"
timeout 65 "$PYTHON" -m pytest -q -m gpu tests/inference/test_gpu.py

echo "--- how fast are full batches of both networks?"
run 130 bench "--json $out/gpu.json"

echo "--- the 10,000 test images of MNIST"
run 45 mnist "--json $out/gpu-mnist.json"
