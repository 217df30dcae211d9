"""PNG files of grey pixels: as much of the format as small pictures of digits need.

Read are pictures of 8 bits per channel, grey or coloured, with or without transparency, that are
not interlaced; that is what drawing programs save. A file comes from anywhere: its size is compared
with the required one before anything is unpacked.

Source: Portable Network Graphics, W3C recommendation, sections 5 (structure) and 9 (filtering).
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yashe.errors import FormatError
from yashe.wire.files import open_input, whole_file

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_FILE_BYTES = 2**20
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, RGB, grey with alpha, RGB with alpha


def read_png(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Read a picture of a required size as grey pixels, black 0 to white 255.

    Colours become grey with the weights 0.299, 0.587, 0.114; transparency is left aside.

    Returns
    -------
    uint8 array, shape (height, width)

    Raises
    ------
    FormatError
        If it is no such PNG file, or of another size.
    """
    with open_input(path) as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES or content[:8] != SIGNATURE:
        raise FormatError(f"{path}: a PNG file of at most {LARGEST_FILE_BYTES} bytes was required")
    try:
        header, packed = _chunks(content)
        size = struct.unpack(">II", header[:8])
        depth, colour, compression, filtering, interlaced = header[8:]
        if (depth, compression, filtering, interlaced) != (8, 0, 0, 0) or colour not in CHANNELS:
            raise ValueError(
                f"{depth} bits per channel, colour type {colour}, interlacing {interlaced}; save "
                "it with 8 bits, grey or RGB, not interlaced"
            )
        if size != (width, height):
            raise ValueError(f"{size[0]}x{size[1]} pixels where {width}x{height} are needed")
        channels = CHANNELS[colour]
        length = height * (1 + width * channels)
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(packed, length + 1)
        if len(raw) != length or not unpacker.eof:
            raise ValueError(f"{len(raw)} bytes of pixels where {length} are needed")
        pixels = _unfiltered(raw, height, width, channels)
    except (ValueError, struct.error, zlib.error) as error:
        raise FormatError(f"{path} cannot be read as a picture: {error}") from error
    if channels < 3:
        return pixels[..., 0]
    weights = np.array([299, 587, 114], dtype=np.int64)
    return ((pixels[..., :3] @ weights + 500) // 1000).astype(np.uint8)


def _chunks(content: bytes) -> tuple[bytes, bytes]:
    """Return the header and the joined data of a PNG file; ValueError if it is damaged."""
    header, data, at, kind = b"", [], 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError(f"a wrong checksum at byte {at}")
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            data.append(body)
        at += 12 + length
    if len(header) != 13:
        raise ValueError("no header")
    return header, b"".join(data)


def _unfiltered(raw: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Undo the filter of every row: a byte is stored as its difference to its neighbours."""
    rows = [bytearray(width * channels)]
    for y in range(height):
        start = y * (1 + width * channels)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + width * channels])
        above = rows[-1]
        for i in range(len(row)):
            left = row[i - channels] if i >= channels else 0
            corner = above[i - channels] if i >= channels else 0
            row[i] = (row[i] + _predicted(kind, left, above[i], corner)) % 256
        rows.append(row)
    return np.frombuffer(b"".join(rows[1:]), dtype=np.uint8).reshape(height, width, channels)


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    """Return what a filter predicts for a byte: none, left, above, their mean, or Paeth's."""
    if kind == 4:
        guess = left + above - corner
        return min((left, above, corner), key=lambda value: abs(guess - value))
    if kind > 4:
        raise ValueError(f"filter {kind}")
    return (0, left, above, (left + above) // 2)[kind]


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey pixels, uint8 array of shape (height, width), as a PNG file."""
    height, width = pixels.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    )
    with whole_file(path) as file:
        file.write(SIGNATURE)
        for kind, body in chunks:
            file.write(struct.pack(">I", len(body)) + kind + body)
            file.write(struct.pack(">I", zlib.crc32(kind + body)))
