"""Grey pictures in PNG and JPEG files, one or a folder of them (extra `images`: Pillow).

A file comes from anywhere: its length is limited, and its size in pixels is compared with the
required one before anything is unpacked.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.networks.schema import check_text
from yashe.errors import DataError, FormatError
from yashe.wire.files import read_input, whole_file

SUFFIXES = (".png", ".jpg", ".jpeg")
LARGEST_FILE_BYTES = 2**20
MOST_PICTURES = 100_000  # in a folder
MOST_PIXELS = 2**27  # in all of them together
# Of 8 bits per channel. Pillow would cut off what 16 bits of grey have beyond 255.
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a picture of which nothing but the header has been looked at yet."""
    image = _pillow(path)
    content = read_input(path, LARGEST_FILE_BYTES)
    try:
        with image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            yield picture
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        unknown = isinstance(error, image.UnidentifiedImageError)
        reason = "neither PNG nor JPEG" if unknown else error
        raise FormatError(f"{path} cannot be read as a picture: {reason}") from error


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of a picture, from its header."""
    with opened(path) as picture:
        width, height = picture.size
    return int(width), int(height)


def read_grey(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """Read a picture of a required size as grey pixels, black 0 to white 255.

    Colours become grey with the weights 0.299, 0.587, 0.114.

    Returns
    -------
    uint8 array, shape (height, width)

    Raises
    ------
    FormatError
        If it is no such picture, of another size, or transparent.
    DataError
        If Pillow is not installed.
    """
    with opened(path) as picture:
        if picture.size != (width, height):
            raise ValueError(
                f"{picture.width}x{picture.height} pixels where {width}x{height} are needed"
            )
        if picture.mode not in MODES:
            raise ValueError(f"pixels of kind {picture.mode}; save it with 8 bits, grey or RGB")
        if picture.convert("RGBA").getextrema()[3][0] < 255:
            raise ValueError("it is transparent in places; save it without transparency")
        return np.array(picture.convert("L"))


def read_pictures(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Read `folder/CLASS/*.png` and the like, as grey pictures of one size.

    Returns
    -------
    uint8 array of shape (pictures, height, width, 1), black 0 to white 255, and the class of each

    Raises
    ------
    DataError
        If there are fewer than two classes, none or too many pictures, or Pillow is missing.
    FormatError
        If one is no picture, or of another size than the first.
    """
    try:
        classes = sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_dir() and not entry.name.startswith(".")
        )
        paths = [
            (name, path)
            for name in classes
            for path in sorted((folder / name).iterdir())
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        ]
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    found = sorted({name for name, _ in paths})
    if len(found) < 2:
        raise DataError(
            f"{folder} must have a folder for each class, two or more, with PNG or JPEG files; got "
            f"{found or 'none'}."
        )
    for name in found:
        check_text(f"{folder}: a class", name, FormatError)
    width, height = size_of(paths[0][1])
    if len(paths) > MOST_PICTURES or len(paths) * width * height > MOST_PIXELS:
        raise DataError(
            f"{folder} has {len(paths)} pictures of {width}x{height} pixels; at most "
            f"{MOST_PICTURES} with {MOST_PIXELS} pixels in all are read."
        )
    pixels = np.stack([read_grey(path, height, width) for _, path in paths])
    return pixels[..., np.newaxis], np.array([name for name, _ in paths])


def write_grey(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey pixels, uint8 array of shape (height, width), as a PNG file.

    Raises
    ------
    DataError
        If Pillow is not installed.
    """
    picture = _pillow(path).fromarray(pixels)
    with whole_file(path) as file:
        picture.save(file, "PNG")


def _pillow(path: Path) -> Any:
    """Return PIL.Image, or say how to install it."""
    try:
        from PIL import Image  # noqa: PLC0415 (optional)
    except ImportError as error:
        raise DataError(
            f"{path}: Pillow is required for pictures: pip install 'cryptonets-yashe[images]'"
        ) from error
    return Image
