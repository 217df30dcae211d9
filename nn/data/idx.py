"""IDX files, the format of MNIST: arrays of bytes behind a short header.

A data file is input from outside. Its header is checked before memory is set aside for what it
promises, a packed file cannot unpack to more than `MAX_IDX_BYTES`, and whatever does not follow
the format is a `FormatError` that names the file.

Source: the format as described with the MNIST database (Y. LeCun, C. Cortes, C. J. C. Burges).
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from yashe.errors import DataError, FormatError
from yashe.wire.files import read_up_to

# The training images of MNIST, the largest array of its four files, have 47,040,000 bytes.
MAX_IDX_BYTES = 64 * 2**20

_UNSIGNED_BYTE = 0x08  # the type code of an IDX file whose entries are bytes


def read_idx(path: Path, entry_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, packed if its name ends in .gz.

    The header is two zero bytes, the type of the entries, the number of axes, and then the length
    of each axis as a big-endian integer of 32 bits; the entries follow in row-major order.

    Parameters
    ----------
    path : Path
    entry_shape : tuple of int
        The shape that each entry must have: (28, 28) for images, () for labels.

    Returns
    -------
    uint8 array, shape (count, *entry_shape)

    Raises
    ------
    FormatError
        If the file has another type or shape, more or fewer entries than its header says, promises
        more than `MAX_IDX_BYTES`, or its packing is damaged.
    DataError
        If the operating system does not let it be read.
    """
    axes, opened = 1 + len(entry_shape), gzip.open if path.suffix == ".gz" else open
    try:
        with cast(IO[bytes], opened(path, "rb")) as stream:
            header = stream.read(4 + 4 * axes)
            required = bytes([0, 0, _UNSIGNED_BYTE, axes])
            if len(header) < 4 + 4 * axes or header[:4] != required:
                raise FormatError(
                    f"{path}: an IDX file of bytes with {axes} axes starts with {required.hex()}, "
                    f"got {header[:4].hex() or 'nothing'} in a header of {len(header)} bytes; "
                    "is it the right file?"
                )
            shape = struct.unpack(f">{axes}I", header[4:])
            if shape[1:] != entry_shape:
                raise FormatError(
                    f"{path}: entries of shape {entry_shape} were required, the header announces "
                    f"{shape[1:]}; is it the right file?"
                )
            return _read_entries(stream, path, shape)
    except (EOFError, gzip.BadGzipFile, zlib.error) as failure:
        raise FormatError(
            f"{path}: a complete gzip file was required, but: {failure}; get it again"
        ) from failure
    except OSError as failure:
        raise DataError(f"{path} is there but cannot be read: {failure}") from failure


def _read_entries(stream: IO[bytes], path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read exactly the entries that the header announced, and refuse more or fewer."""
    size = math.prod(shape)
    if size > MAX_IDX_BYTES:
        raise FormatError(
            f"{path}: at most {MAX_IDX_BYTES} bytes of entries are accepted, the header announces "
            f"{size}; this is not MNIST"
        )
    # One byte more than announced shows whether something follows, without reading all of it.
    content = read_up_to(stream, size + 1)
    if len(content) != size:
        received = f"only {len(content)} bytes" if len(content) < size else "more bytes"
        raise FormatError(
            f"{path}: the header announces {size} bytes of entries, {received} follow; "
            "the file is damaged: get it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
