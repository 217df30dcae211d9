#!/usr/bin/env bash
# Called by the harness: build_task.sh TASK. Makes TASK/build with the seven programs.
# PYTHON may name an interpreter that has the project already; otherwise a virtual environment
# beside the programs gets it, from the archive or folder that PROJECT names (default: the package).
set -euo pipefail
cd "$1"
mkdir -p build
python=${PYTHON:-$PWD/build/venv/bin/python}
if [ ! -x "$python" ]; then
    python3 -m venv build/venv
    "$python" -m pip install --quiet "${PROJECT:-cryptonets-yashe}"
fi
cp src/instance.py build/
for source in src/client_*.py src/server_*.py; do
    program=build/$(basename "$source" .py)
    { echo "#!$python"; cat "$source"; } >"$program"
    chmod +x "$program"
done
# What the server publishes about its network: everything a client needs to make keys.
"$python" - build <<'PYTHON'
import sys

sys.path.insert(0, sys.argv[1])
from instance import FOLDER, MODES, NETWORK

from nn import pretrained
from nn.service.card import ModelCard

for mode in set(MODES.values()):
    card = ModelCard.of(pretrained(NETWORK), mode=mode)
    (FOLDER / f"{mode}.json").write_text(card.to_json())
PYTHON
