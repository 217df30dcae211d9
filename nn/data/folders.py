"""Folders of pictures: one folder inside for each class, with its PNG and JPEG files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn.data.grey import SUFFIXES, read_grey, size_of
from nn.networks.schema import check_text
from yashe.errors import DataError, FormatError, ParameterError

MOST_PICTURES = 100_000
MOST_PIXELS = 2**27  # in all of them together


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
        try:
            check_text("a class", name)
        except ParameterError as error:
            raise FormatError(f"{folder}: {error}") from error
    width, height = size_of(paths[0][1])
    if len(paths) > MOST_PICTURES or len(paths) * width * height > MOST_PIXELS:
        raise DataError(
            f"{folder} has {len(paths)} pictures of {width}x{height} pixels; at most "
            f"{MOST_PICTURES} with {MOST_PIXELS} pixels in all are read."
        )
    pixels = np.stack([read_grey(path, height, width) for _, path in paths])
    return pixels[..., np.newaxis], np.array([name for name, _ in paths])
