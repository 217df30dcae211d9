"""What is asked of layers, networks and pixels before anything is computed with them."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from yashe.arithmetic.residues import IntArray
from yashe.arithmetic.whole import shown, whole
from yashe.errors import EncodingError, KindError, ParameterError, RangeError

Shape: TypeAlias = tuple[int, ...]


@runtime_checkable
class TakesImages(Protocol):
    """What a network says about its images: a `Sequential`, or a `ModelCard`."""

    @property
    def input_shape(self) -> Shape:
        """Shape of one image."""

    @property
    def levels(self) -> int:
        """Pixels are integers 0..levels."""


def shape_of(name: str, value: Any) -> Shape:
    """Return a shape, one or more positive whole numbers, as a tuple, or refuse.

    Raises
    ------
    KindError, ParameterError
    """
    if not isinstance(value, tuple | list) or not value:
        raise KindError(f"{name} must be a tuple like (28, 28, 1); got {shown(value)}.")
    return tuple(whole(side, f"every side of {name}", 1) for side in value)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the names that there are, and which of them may have been meant, as words."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return ", ".join(names) + (f"; did you mean {close[0]}?" if close else "")


def json_object(text: str | bytes, most: int) -> dict[str, Any]:
    """Return the object of a stranger's JSON.

    Raises
    ------
    ValueError
        If it is none, has more than `most` bytes, or a number that is not finite, as 1e400.
    """
    if len(text) > most:
        raise ValueError(f"at most {most} bytes are accepted, not {len(text)}")

    def finite(number: str) -> float:
        if not math.isfinite(value := float(number)):
            raise ValueError(f"the number {number[:20]} is not finite")
        return value

    try:
        facts = json.loads(text, parse_float=finite, parse_constant=finite)
    except RecursionError as error:
        raise ValueError("lists in lists, too deep") from error
    if not isinstance(facts, dict):
        raise ValueError(f"a JSON object was required, got a {type(facts).__name__}")
    return facts


def check_facts(facts: Any, types: dict[str, type]) -> None:
    """Refuse (ValueError) what is not a dict of these names, with values of just these types."""
    if not isinstance(facts, dict):
        raise ValueError(f"an object with {sorted(types)} was required")
    if {name: type(value) for name, value in facts.items()} != types:
        needed = ", ".join(f"{name} ({kind.__name__})" for name, kind in types.items())
        raise ValueError(f"just these facts were required: {needed}")
    if not all(value.isprintable() for value in facts.values() if isinstance(value, str)):
        raise ValueError("texts that cannot be printed")


def check_pixels(network: TakesImages, pixels: Any) -> IntArray:
    """Return images as int64, or refuse those that the network was not made for.

    Its plan proves the logits right for pixels 0..levels, and for nothing else.

    Parameters
    ----------
    network : Sequential or ModelCard
    pixels : integers, shape (images, *network.input_shape)

    Raises
    ------
    KindError
        If the network is neither.
    EncodingError
        If they are no integers.
    ParameterError
        If they have another shape.
    RangeError
        If a pixel is not in 0..levels, naming image and pixel.
    """
    if not isinstance(network, TakesImages):
        raise KindError(
            f"pixels are those of a network, a Sequential or a ModelCard; got {shown(network)}."
        )
    shape, levels = tuple(network.input_shape), network.levels
    try:
        array = np.asarray(pixels)
    except ValueError as error:  # rows of different lengths
        raise EncodingError(f"pixels must be an array of integers: {error}") from error
    if np.ma.is_masked(pixels):
        raise EncodingError("pixels must be integers, and none of them masked")
    if array.dtype.kind not in "iu":
        raise EncodingError(
            f"pixels must be integers, not {array.dtype}: quantize_pixels(images, pixel_max, "
            f"{levels}) makes them"
        )
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        raise ParameterError(
            f"the network takes images of shape (images, {', '.join(map(str, shape))}), got "
            f"{array.shape}"
        )
    outside = (array < 0) | (array > levels)
    if outside.any():
        image, *place = np.argwhere(outside)[0].tolist()
        raise RangeError(
            f"image {image} has {array[outside][0]} at pixel {tuple(place)}, and the network takes "
            f"0..{levels}: quantize_pixels(images, pixel_max, {levels}) makes such pixels"
        )
    return array.astype(np.int64)
