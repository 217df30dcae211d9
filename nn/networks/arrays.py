"""Arrays of integers in NumPy's file formats, written small and read without pickle."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nn.networks.base import NumberArray
from yashe.errors import FormatError

LARGEST_FILE_BYTES = 1 << 26  # the networks here take 100 KB


def narrowed(values: NumberArray) -> NumberArray:
    """Return integers in the smallest signed type that holds them all: small files."""
    for kind in (np.int8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= values.min(initial=0) and values.max(initial=0) <= limits.max:
            return values.astype(kind)
    return values


def read_arrays(path: Path) -> list[NumberArray]:
    """Read the arrays arr_0, arr_1, ... of an .npz file: bytes first, then signed integers.

    A header may promise any shape, so it is compared with the bytes that are there before NumPy
    allocates anything.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if names != [f"arr_{i}.npy" for i in range(len(names))] or not names:
                raise ValueError(f"members {names[:4]}")
            total = sum(member.file_size for member in members)
            if total > LARGEST_FILE_BYTES:
                raise ValueError(f"{total} bytes, and at most {LARGEST_FILE_BYTES} are accepted")
            contents = [archive.read(member) for member in members]
        arrays = [parse_array(content) for content in contents]
        if arrays[0].dtype != np.uint8 or any(a.dtype.kind != "i" for a in arrays[1:]):
            raise ValueError(f"types {[str(a.dtype) for a in arrays]}")
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}.") from error
    # RuntimeError: an encrypted archive; NotImplementedError: a compression of another world.
    except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError) as error:
        raise FormatError(
            f"{path} must be an .npz file as Sequential.save() writes it; got something else: "
            f"{error}. Fetch or train it again."
        ) from error
    return arrays


def parse_array(content: bytes) -> NumberArray:
    """Read one .npy file from memory; the bytes must be as many as its header says."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array in a version other than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    data = content[stream.tell() :]
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of {len(data)} bytes whose header says {dtype} {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
