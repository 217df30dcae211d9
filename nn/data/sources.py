"""Where a client's images come from: the bundled digits, MNIST, IDX, .npy files and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn.data.grey import SUFFIXES, read_grey
from nn.data.idx import read_idx
from nn.data.sets import load_digits, load_mnist
from nn.networks.arrays import parse_array
from nn.networks.base import NumberArray
from nn.networks.checks import nearest
from yashe.errors import DataError, FormatError
from yashe.wire.files import read_input

LARGEST_ARRAY_BYTES = 2**30
SETS = ("digits", "mnist")  # that a name stands for


@dataclass(frozen=True)
class Images:
    """Images for a network.

    Attributes
    ----------
    pixels : array of numbers, shape (count, *input_shape), values 0..white
    white : the value of a white pixel
    labels : what they really are, int64 array of shape (count,), if that is known
    """

    pixels: NumberArray
    white: int
    labels: NDArray[np.int64] | None = None

    @property
    def dark_on_light(self) -> bool:
        """Whether more than half of the light is there: strokes of digits cover less."""
        return self.pixels.size > 0 and bool(2 * self.pixels.mean() > self.white)

    def __repr__(self) -> str:
        count, *shape = self.pixels.shape
        labelled = "without" if self.labels is None else "with"
        return f"Images({count:,} of shape {tuple(shape)}, 0..{self.white}, {labelled} labels)"


def load_images(
    sources: Sequence[str],
    input_shape: tuple[int, ...],
    data: Path | None = None,
    white: int = 255,
    invert: bool = False,
) -> Images:
    """Load images of one size, from one or several sources, in this order.

    Parameters
    ----------
    sources : "digits" or "mnist" for their test images, alone; else names of files: .npy
        (integers, of shape (count, height, width) or (height, width), perhaps with a last axis of
        length 1), .png, .jpg, .jpeg, all others IDX, packed if they end in .gz
    input_shape : (height, width, 1)
    data : folder of MNIST
    white : the value of a white pixel in .npy files
    invert : whether the strokes are dark on light, the opposite of MNIST

    Raises
    ------
    DataError, FormatError
        If a source is missing, damaged, of another size, or beyond 0..white.
    """
    if len(input_shape) != 3 or input_shape[2] != 1:
        raise DataError(f"images have one channel, and this network takes shape {input_shape}")
    if len(sources) == 1 and sources[0] in SETS:
        dataset = load_digits() if sources[0] == "digits" else load_mnist(data)
        check_shape(sources[0], dataset.test_images.shape[1:], input_shape)
        return Images(dataset.test_images, dataset.pixel_max, dataset.test_labels)
    if not sources:
        raise DataError("at least one image is required: name a file, or 'digits' or 'mnist'")
    kinds = {Path(source).suffix == ".npy" for source in sources}
    if len(kinds) == 2:
        raise DataError("give .npy files and others in two runs: white may differ in them")
    white = white if kinds == {True} else 255
    pixels = np.concatenate([load_file(Path(source), input_shape) for source in sources])
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= white):
        raise DataError(
            f"pixels must lie in 0..{white}, got [{pixels.min()}, {pixels.max()}]; say with "
            "--white what a white pixel is"
        )
    return Images(white - pixels if invert else pixels, white)


def load_file(path: Path, input_shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the images of one file, int64 array of shape (count, *input_shape)."""
    height, width, _ = input_shape
    if path.suffix.lower() in SUFFIXES:
        array: NumberArray = read_grey(path, height, width)[None]
    elif path.suffix == ".npy":
        array = load_npy(path)
        if array.ndim and array.shape[-1:] == (1,) and array.shape[-3:] == input_shape:
            array = array[..., 0]
        array = array[None] if array.ndim == 2 else array
    else:
        if not path.exists():
            known = nearest(path.name, SETS)
            raise DataError(f"there is no file {path}, and the data sets are {known}")
        array = read_idx(path, (height, width))
    check_shape(str(path), (*array.shape[1:], 1), input_shape)
    return array[..., None].astype(np.int64)


def load_npy(path: Path) -> NumberArray:
    """Return the integers of a .npy file, without pickle."""
    content = read_input(path, LARGEST_ARRAY_BYTES)
    try:
        return parse_array(content)
    except ValueError as error:
        raise FormatError(f"{path}: a .npy file of integers was required: {error}") from error


def check_shape(name: str, shape: tuple[int, ...], required: tuple[int, ...]) -> None:
    """Refuse images of another size."""
    if shape != required:
        raise DataError(
            f"{name} has images of shape {shape[:-1]}, the network takes {required[:-1]}: take "
            "the network for them, or scale them first"
        )
