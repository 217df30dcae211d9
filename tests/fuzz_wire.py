"""Coverage-guided fuzzing of everything that reads bytes: frames and the files of networks.

    pip install "cryptonets-yashe[fuzz]"
    python tests/fuzz_wire.py -runs=100000 -max_len=1024 CORPUS tests/vectors

Every input is read as it is, and once more with its hashes put right, as a liar would send it. Only
an FheError may come out of it, and what is read is written again to the same bytes. The memory that
Python and NumPy take at the same time stays below MEMORY_FACTOR times the input plus
MEMORY_CONSTANT. Other options are libFuzzer's.
"""

import contextlib
import hashlib
import io
import struct
import sys
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["yashe", "nn.networks.model"]):
    from nn.networks.model import Sequential
    from yashe import wire
    from yashe.errors import FheError
    from yashe.wire.envelope import HASH_BYTES, HEADER, FrameReader
    from yashe.wire.header import read_contents
    from yashe.wire.streams import CiphertextReader

# A residue of 5 bits becomes a float64, and a seeded ciphertext becomes twice as large: 26 times.
# The constant is for rings of tiny degree and what Python keeps per object.
MEMORY_FACTOR, MEMORY_CONSTANT = 64, 4_000_000
MEASURED_EVERY = 16  # tracing memory slows everything down
FOLDER = TemporaryDirectory()
count = 0


def read(data: bytes) -> None:
    """Read a frame in every way there is, and write again what was in it."""
    kind = thing = None
    with contextlib.suppress(FheError):
        kind = read_contents(FrameReader(io.BytesIO(data))).type
    if kind is not None:
        with contextlib.suppress(FheError):
            thing = wire.from_bytes(data, kind)
    if thing is not None and wire.to_bytes(thing) != data:
        raise AssertionError("the frame has another form")
    with contextlib.suppress(FheError):
        for _ in CiphertextReader.open(io.BytesIO(data)).blocks():
            pass


def resealed(data: bytes) -> bytes:
    """Return the frame with the parameter hash and the hash that belong to it."""
    with contextlib.suppress(struct.error, IndexError):
        n, _, k, k_plaintext, length = struct.unpack_from("<IIBBB", data, HEADER.size)
        moduli = struct.unpack_from(f"<{k + k_plaintext}I", data, HEADER.size + 11 + length)
        text = f"{n};{moduli[:k]};{moduli[k:]}"
        data = data[:24] + hashlib.sha256(text.encode()).digest() + data[HEADER.size :]
    return data[:-HASH_BYTES] + hashlib.sha256(data[:-HASH_BYTES]).digest()


def one_input(data: bytes) -> None:
    """Read one input as a frame, as a frame with the right hashes, and as a network."""
    global count
    count += 1
    measured = count % MEASURED_EVERY == 0
    if measured:
        tracemalloc.start()
    read(data)
    read(resealed(data))
    if data.startswith(b"PK"):
        path = Path(FOLDER.name) / "network.npz"
        path.write_bytes(data)
        with contextlib.suppress(FheError):
            Sequential.load(path)
    if measured:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if peak > MEMORY_FACTOR * len(data) + MEMORY_CONSTANT:
            raise MemoryError(f"{peak} bytes for an input of {len(data)}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
