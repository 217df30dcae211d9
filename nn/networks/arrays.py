"""Arrays of integers in NumPy's file formats, written small and read without pickle.

A file comes from anywhere. A header is compared with a pattern, and never evaluated as NumPy does,
which takes it for a piece of Python; what it promises is compared with the bytes that are there.
"""

from __future__ import annotations

import io
import math
import re
import zipfile

import numpy as np

from nn.networks.base import NumberArray
from yashe.wire.files import read_up_to

LARGEST_FILE_BYTES = 1 << 26  # the networks here take 100 KB
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of which a piece can be unpacked
# As NumPy writes it, with the keys in this order.
HEADER = re.compile(
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,10}, ?){0,8}(?:\d{1,10})?)\), \} *\n"
)
INTEGERS = re.compile(rb"[<>|=]?[iu][1248]")


def narrowed(values: NumberArray) -> NumberArray:
    """Return integers in the smallest signed type that holds them all: small files."""
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max:
            return values.astype(kind)
    return values


def read_arrays(content: bytes, most: int, most_text_bytes: int) -> list[NumberArray]:
    """Read the arrays arr_0, arr_1, ... of an .npz file: bytes first, then signed integers.

    Parameters
    ----------
    content : of the file; unpacked it may have `LARGEST_FILE_BYTES`
    most : how many arrays there may be
    most_text_bytes : how long the first one may be, with its header

    Raises
    ------
    Exception
        If it is anything else: ValueError where we see it, nearly anything where zipfile does.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if not 0 < len(names) <= most or names != [f"arr_{i}.npy" for i in range(len(names))]:
            raise ValueError(f"{len(names)} members {names[:4]}")
        arrays: list[NumberArray] = []
        left = LARGEST_FILE_BYTES
        for member in members:
            if member.compress_type not in COMPRESSIONS:
                raise ValueError(f"{member.filename} is neither stored nor deflated")
            limit = left if arrays else most_text_bytes
            with archive.open(member) as file:
                unpacked = read_up_to(file, limit + 1)
            if len(unpacked) > limit:
                raise ValueError(f"{member.filename} has more than the {limit} bytes accepted")
            left -= len(unpacked)
            arrays.append(parse_array(unpacked))
    if arrays[0].dtype != np.uint8 or any(a.dtype.kind != "i" for a in arrays[1:]):
        raise ValueError(f"types {[str(a.dtype) for a in arrays]}")
    return arrays


def parse_array(content: bytes) -> NumberArray:
    """Read one .npy file of integers from memory; the bytes are as many as its header says.

    Raises
    ------
    ValueError
    """
    if content[:8] != b"\x93NUMPY\1\0":
        raise ValueError("an array in NumPy's format 1.0 was required")
    start = 10 + int.from_bytes(content[8:10], "little")
    header, data = content[10:start], content[start:]
    found = HEADER.fullmatch(header)
    if found is None:
        raise ValueError(f"the header is not as NumPy writes it: {header[:60]!r}")
    kind, fortran_order, sides = found.groups()
    if not INTEGERS.fullmatch(kind):
        raise ValueError(f"its numbers are {kind.decode('latin-1')}, not integers")
    dtype = np.dtype(kind.decode())
    shape = tuple(int(side) for side in sides.split(b",") if side.strip())
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of {len(data)} bytes whose header says {dtype} {shape}")
    values: NumberArray = np.frombuffer(data, dtype)
    return values.reshape(shape, order="F" if fortran_order == b"True" else "C")
