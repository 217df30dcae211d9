#!/bin/sh
# Everything about GPUs on one card, within four minutes: is it exact, is it right, how fast is it?
#
#     sh tests/benchmarks/gpu.sh [FILE FOR THE FIGURES, gpu.json]
#
# It installs nothing: the package with its extras `gpu` and `test` has to be there, and MNIST in
# $CRYPTONETS_DATA or the user's cache. It stops at the first failure; what was measured before is
# in the file all the same.
set -eu
out=$(realpath "${1:-gpu.json}")
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
export OPENBLAS_NUM_THREADS=1
found=$(mktemp -d)

join() { # the figures that there are, in one file
    "$PYTHON" - "$found" "$out" <<'END'
import json, pathlib, sys
facts = {p.stem: json.loads(p.read_text()) for p in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))}
pathlib.Path(sys.argv[2]).write_text(json.dumps(facts, indent=2) + "\n")
END
    rm -r "$found"
}
trap join EXIT

step() { # TITLE SECONDS COMMAND...
    title=$1 seconds=$2
    shift 2
    echo "--- $title"
    timeout "$seconds" "$@" && return
    code=$?
    why="exit code $code"
    [ $code -eq 124 ] && why="no end within $seconds seconds"
    echo "gpu.sh: stopped at '$title': $why" >&2
    exit 1
}

step "is there a card, and are its products exact? is MNIST there?" 20 "$PYTHON" - "$found" <<'END'
import json, platform, subprocess, sys
from nn.data.sets import load_mnist
from yashe.arithmetic.places import check_place_is_exact, place
from yashe.errors import FheError

try:
    gpu = place("gpu")
    check_place_is_exact(gpu)
    load_mnist()
except FheError as error:
    sys.exit(str(error))
asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
facts = {"gpu": gpu.about, "python": platform.python_version()}
facts["numpy"] = __import__("numpy").__version__
try:
    facts["nvidia-smi"] = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
except OSError:
    pass
print(*facts.values(), sep="\n")
with open(sys.argv[1] + "/card.json", "w") as file:
    json.dump(facts, file)
END

step "is everything what a processor computes?" 65 \
    "$PYTHON" -m pytest -q -x -m gpu tests/inference/test_gpu.py

# The figures that matter most come first.
for model in cryptonets lean; do
    step "how fast are full batches of $model?" 60 \
        "$PYTHON" -m nn bench --device gpu --model $model --json "$found/$model.json"
done

step "the 10,000 test images of MNIST" 35 \
    "$PYTHON" -m nn mnist --device gpu --json "$found/mnist.json"
