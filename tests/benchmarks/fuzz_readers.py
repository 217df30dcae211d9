"""Damaged files for every reader of files: what comes out is a thing or an FheError, cheaply.

    python tests/benchmarks/fuzz_readers.py [--inputs 100000] [--seed 1] [READER ...]

Every input is a good file with one to four random changes: bits, bytes, pieces that are cut out,
doubled, or exchanged with those of another file, numbers and words that readers trip over. Where a
checksum or packing would find them at once, every second input is changed inside of it: the hashes
of a frame, the archive of a network, gzip, the check of a PNG chunk. Only an FheError may come out,
a frame that is read is written again to the same bytes, and what Python and NumPy allocate stays
below `factor` times the input plus CONSTANT. Pillow allocates beside that: the peak of the whole
process is printed at the end (tracing itself keeps some 2 KB for each input). A finding names its
input, which `--first INDEX --inputs 1` repeats. It is quick where TMPDIR is in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
import tracemalloc
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from nn.data.grey import read_grey  # noqa: E402
from nn.data.idx import read_idx  # noqa: E402
from nn.data.sources import load_npy  # noqa: E402
from nn.networks.model import Sequential  # noqa: E402
from nn.service.card import ModelCard  # noqa: E402
from nn.service.keyfiles import read_card  # noqa: E402
from tiny_mnist import idx  # noqa: E402
from tiny_roles import tiny_network  # noqa: E402
from yashe import wire  # noqa: E402
from yashe.errors import FheError  # noqa: E402
from yashe.wire.envelope import HASH_BYTES, HEADER, FrameReader  # noqa: E402
from yashe.wire.header import read_contents  # noqa: E402
from yashe.wire.streams import CiphertextReader  # noqa: E402

CONSTANT = 4_000_000  # for rings of tiny degree, a decoder's tables, Python's objects
WORDS = [
    *(b"0", b"-1", b"1e400", b"NaN", b"1.0", b"true", b"null", b"[]", b"{}", b'"x"', b"[" * 500),
    *(b"9" * 30, b"(", b")", b", ", b"'", b"\\u0000", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80"),
    *(b"O", b"<f8", b">u2", b"<i8", b"True", b"3L", b"-" * 500, b"\x7f\xff\xff\xff", b"PK\1\2"),
]

Mutation = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes
    ----------
    suffix : of its files
    seeds : good files
    read : reads one, or raises
    inside : changes a file behind its checksums and packing
    factor : how many bytes of memory it may take for a byte of the file. Deflate makes at most
        1,032 bytes of one, which are there three times at most.
    """

    suffix: str
    seeds: list[bytes]
    read: Callable[[Path], object]
    inside: Callable[[random.Random, bytes, Mutation], bytes] | None = None
    factor: int = 64


@dataclass
class Findings:
    """What has become of the inputs of a reader."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    peak: int = 0  # bytes of memory that one input took at most
    largest: float = 0.0  # the same for each byte of the file, beyond the constant
    seconds: float = 0.0


def changed(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Return data with one random change."""
    out = bytearray(data or b"\0")
    at, length = rng.randrange(len(out)), rng.choice((1, 2, 4, 16, 64))
    piece = bytes(out[at : at + length])
    match rng.randrange(9):
        case 0:
            out[at] ^= 1 << rng.randrange(8)
        case 1:
            out[at] = rng.choice((0, 1, 127, 128, 255))
        case 2:
            del out[at : at + length]
        case 3:
            out[at:at] = piece * rng.choice((1, 2, 50))
        case 4:
            out[at:at] = rng.randbytes(length)
        case 5:
            del out[at:]
        case 6:
            word = rng.choice(WORDS)
            out[at : at + rng.choice((0, 1, len(word)))] = word
        case 7:
            other = rng.choice(others)
            place = rng.randrange(len(other))
            out[at : at + length] = other[place : place + length]
        case _:
            numbers = [i for i, byte in enumerate(out[:4096]) if 48 <= byte < 58]
            if numbers:
                place = rng.choice(numbers)
                out[place : place + 1] = rng.choice(WORDS)
    return bytes(out)


# What lies behind checksums and packing


def in_frame(rng: random.Random, data: bytes, mutation: Mutation) -> bytes:
    """Change a frame, as a liar would."""
    return resealed(mutation(rng, data))


def resealed(data: bytes) -> bytes:
    """Return a frame with the parameter hash and the hash that belong to it."""
    with contextlib.suppress(struct.error, IndexError):
        n, _, k, k_plaintext, length = struct.unpack_from("<IIBBB", data, HEADER.size)
        moduli = struct.unpack_from(f"<{k + k_plaintext}I", data, HEADER.size + 11 + length)
        text = f"{n};{moduli[:k]};{moduli[k:]}"
        data = data[:24] + hashlib.sha256(text.encode()).digest() + data[HEADER.size :]
    return data[:-HASH_BYTES] + hashlib.sha256(data[:-HASH_BYTES]).digest()


def in_archive(rng: random.Random, data: bytes, mutation: Mutation) -> bytes:
    """Change one member of an archive, in half of the cases nothing but the description."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "arr_0.npy" if rng.random() < 0.5 else rng.choice(sorted(members))
    if name == "arr_0.npy":  # with the length of the text that it then has
        text = mutation(rng, members[name][128:])
        members[name] = npy(np.frombuffer(text, np.uint8))
    else:
        members[name] = mutation(rng, members[name])
    (kind,) = rng.choices((0, 8, 12, 14), (99, 99, 1, 1))  # bzip2 and LZMA are slow, and refused
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)  # without today's date
    return out.getvalue()


def in_gzip(rng: random.Random, data: bytes, mutation: Mutation) -> bytes:
    """Change what a gzip file holds."""
    return gzip.compress(mutation(rng, gzip.decompress(data)), 1, mtime=0)


def in_png(rng: random.Random, data: bytes, mutation: Mutation) -> bytes:
    """Change one chunk of a PNG file and put its check right; of others nothing is put right."""
    if not data.startswith(b"\x89PNG"):
        return mutation(rng, data)
    at, chunks = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    i = rng.randrange(len(chunks))
    if rng.random() < 0.5 and chunks[i][:4] == b"IDAT":
        chunks[i] = b"IDAT" + zlib.compress(mutation(rng, zlib.decompress(chunks[i][4:])))
    else:
        chunks[i] = (mutation(rng, chunks[i]) + b"    ")[: max(4, len(chunks[i]))]
    out = data[:8]
    for chunk in chunks:
        out += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return out


# The readers, and good files for them


def npy(values: np.ndarray) -> bytes:
    """Return the bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def model_file() -> bytes:
    """Return the bytes of the file of a small network."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_network().save(Path(folder) / "model.npz")
        return (Path(folder) / "model.npz").read_bytes()


def pictures() -> list[bytes]:
    """Return PNG files of all kinds, and a JPEG."""
    from PIL import Image  # noqa: PLC0415 (optional)

    found = []
    grey = Image.fromarray((np.arange(784).reshape(28, 28) % 251).astype(np.uint8))
    for mode, kind in (("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("L", "JPEG")):
        stream = io.BytesIO()
        grey.convert(mode).save(stream, kind)
        found.append(stream.getvalue())
    return found


def read_frame(path: Path) -> None:
    """Read a frame in every way there is, and compare it with what is written again."""
    data = path.read_bytes()
    refusal: FheError | None = None
    with contextlib.suppress(FheError):
        for _ in CiphertextReader.open(io.BytesIO(data)).blocks():
            pass
    try:
        thing = wire.from_bytes(data, read_contents(FrameReader(io.BytesIO(data))).type)
    except FheError as error:
        refusal = error
    if refusal is not None:
        raise refusal
    if wire.to_bytes(thing) != data:
        raise AssertionError("the frame has another form")


def read_any_idx(path: Path) -> None:
    """Read images, or else labels."""
    with contextlib.suppress(FheError):
        read_idx(path, (28, 28))
        return
    read_idx(path, ())


def readers() -> dict[str, Reader]:
    """Return all readers by name."""
    labels, images = np.arange(30, dtype=np.uint8), np.arange(30 * 784).reshape(30, 28, 28) % 256
    plain = [idx(images.astype(np.uint8)), idx(labels)]
    arrays = [np.arange(24).reshape(2, 3, 4).astype(kind) for kind in ("u1", "<i2", ">i8")]
    network = model_file()
    frames = [path.read_bytes() for path in sorted((TESTS / "vectors").glob("*.fhe"))]
    return {
        "wire": Reader(".fhe", frames, read_frame, in_frame),
        "npy": Reader(".npy", [npy(a) for a in arrays], load_npy),
        "npz": Reader(".npz", [network], Sequential.load, factor=3 * 1032),
        "model": Reader(".npz", [network], Sequential.load, in_archive, factor=3 * 1032),
        "card": Reader(".json", [ModelCard.of(tiny_network()).to_json().encode()], read_card),
        "png": Reader(".png", pictures(), lambda path: read_grey(path, 28, 28), in_png),
        "idx": Reader("", plain, read_any_idx),
        "idx.gz": Reader(
            ".gz",
            [gzip.compress(data, mtime=0) for data in plain],
            read_any_idx,
            in_gzip,
            factor=3 * 1032,
        ),
    }


def make_input(reader: Reader, name: str, seed: int, index: int) -> bytes:
    """Return one input; the same for the same arguments."""
    rng = random.Random(f"{seed}/{name}/{index}")

    def mutation(rng: random.Random, data: bytes) -> bytes:
        for _ in range(rng.randint(1, 4)):
            data = changed(rng, data, reader.seeds)
        return data

    data = rng.choice(reader.seeds)
    if reader.inside is not None and (index % 2 or name == "model"):
        return reader.inside(rng, data, mutation)
    return mutation(rng, data)


def fuzz(reader: Reader, name: str, inputs: int, seed: int = 1, first: int = 0) -> Findings:
    """Give a reader so many inputs; AssertionError at the first that it does not bear."""
    found, begin = Findings(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{reader.suffix}"
        for index in range(first, first + inputs):
            data = make_input(reader, name, seed, index)
            path.write_bytes(data)
            tracemalloc.start()
            try:
                reader.read(path)
                found.read += 1
            except FheError as error:
                found.refused[type(error).__name__] += 1
                text = str(error)
                assert len(text) < 2000, f"{name}, input {index}: a text of {len(text)}"
            except Exception as error:
                raise AssertionError(f"{name}, input {index} of seed {seed}") from error
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak <= reader.factor * len(data) + CONSTANT, (
                f"{name}, input {index} of seed {seed}: {peak} bytes for {len(data)}"
            )
            found.peak = max(found.peak, peak)
            found.largest = max(found.largest, (peak - CONSTANT) / max(1, len(data)))
    found.seconds = time.process_time() - begin
    return found


def main() -> None:
    """Fuzz the readers that are named, or all."""
    known = readers()
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("readers", nargs="*", metavar="READER", help=", ".join(known))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, metavar="INDEX")
    arguments = parser.parse_args()
    for name in arguments.readers or known:
        found = fuzz(known[name], name, arguments.inputs, arguments.seed, arguments.first)
        refused = json.dumps(dict(found.refused.most_common()))
        print(
            f"{name:<7}{arguments.inputs:>8,} inputs: {found.read:>7,} read, others {refused}; "
            f"memory {found.peak:,} bytes at most, and {CONSTANT:,} + "
            f"{max(0.0, found.largest):.0f} x the file; {found.seconds:.1f} s",
            flush=True,
        )
    print(f"peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:,} KiB")


if __name__ == "__main__":
    main()
