"""Coverage-guided fuzzing of what reads frames and the files of networks.

    pip install "cryptonets-yashe[fuzz]"
    python tests/fuzz_wire.py -runs=100000 -max_len=1024 CORPUS tests/vectors

Every input is read as it is, and once more with its hashes put right, as a liar would send it; what
has to hold is said in `tests/benchmarks/fuzz_readers.py`. Other options are libFuzzer's.
"""

import contextlib
import sys
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

with atheris.instrument_imports(include=["yashe", "nn.networks", "benchmarks"]):
    from benchmarks.fuzz_readers import CONSTANT, readers, resealed
    from yashe.errors import FheError

MEASURED_EVERY = 16  # tracing memory slows everything down
READERS = readers()
FOLDER = TemporaryDirectory()
count = 0


def one_input(data: bytes) -> None:
    """Read one input as a frame, as a frame with the right hashes, or as a network."""
    global count
    count += 1
    reader = READERS["npz" if data.startswith(b"PK") else "wire"]
    measured = count % MEASURED_EVERY == 0
    if measured:
        tracemalloc.start()
    path = Path(FOLDER.name) / f"input{reader.suffix}"
    for content in (data, resealed(data)):
        path.write_bytes(content)
        with contextlib.suppress(FheError):
            reader.read(path)
    if measured:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if peak > reader.factor * len(data) + CONSTANT:
            raise MemoryError(f"{peak} bytes for an input of {len(data)}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
