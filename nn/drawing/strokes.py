"""A digit that somebody has drawn, as the network has learned to see digits.

MNIST's digits were scaled into a box of 20 x 20 pixels, keeping their shape, and moved so that
their centre of mass is in the middle of 28 x 28 pixels (LeCun, Cortes, Burges, "The MNIST database
of handwritten digits"). What was drawn goes the same way, as lines, before it becomes pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.errors import DataError

SIDE, BOX = 28, 20  # of the image, and of the digit in it, in pixels
PEN = 1.1  # radius of the pen in pixels, about that of MNIST
WHITE = 255
MOST_POINTS = 4096


def points_of(strokes: Any) -> list[NDArray[np.float64]]:
    """Return the lines of a drawing, each of shape (points, 2): x to the right, y down.

    Parameters
    ----------
    strokes : list of lines, each a list of points, each a pair of numbers, in any unit

    Raises
    ------
    DataError
        If it is anything else, or nothing, or of more than 4096 points.
    """
    wanted = "a drawing is a list of lines, a line a list of points, a point two numbers"
    if not isinstance(strokes, list) or not all(isinstance(line, list) for line in strokes):
        raise DataError(wanted)
    count = sum(map(len, strokes))
    if not 0 < count <= MOST_POINTS:
        raise DataError(f"a drawing has 1 to {MOST_POINTS} points, not {count}")
    for point in (point for line in strokes for point in line):
        if not isinstance(point, list) or len(point) != 2:
            raise DataError(wanted)
        if not all(type(x) in (int, float) and abs(x) <= 1e6 for x in point):  # nor NaN
            raise DataError(f"{wanted} of at most a million")
    return [np.array(line, dtype=np.float64) for line in strokes if line]


def rasterize(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what a round pen draws along lines, in pixels: shape (28, 28), 0 to 1."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.full((SIDE, SIDE), np.inf)
    for line in lines:
        for start, end in pairwise(line if len(line) > 1 else np.repeat(line, 2, axis=0)):
            along = end - start
            length = float(along @ along)
            share = ((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (length or 1.0)
            share = np.clip(share, 0.0, 1.0)
            gap = np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1])
            np.minimum(distance, gap, out=distance)
    return np.clip(PEN + 0.5 - distance, 0.0, 1.0)


def digit_of(strokes: Any) -> NDArray[np.uint8]:
    """Return a drawing as an image like those of MNIST, uint8 array (28, 28), white on black.

    Examples
    --------
    A line in any place and of any length becomes the same upright stroke in the middle:

    >>> one = digit_of([[[3, 3], [3, 9]]])
    >>> bool((one == digit_of([[[90, 10], [90, 700]]])).all()), one[14, 13:15].tolist()
    (True, [255, 255])

    Raises
    ------
    DataError
        If it is no drawing: see `points_of`.
    """
    lines = points_of(strokes)
    low = np.min([line.min(axis=0) for line in lines], axis=0)
    high = np.max([line.max(axis=0) for line in lines], axis=0)
    scale = (BOX - 2 * PEN) / max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    lines = [(line - middle) * scale + SIDE / 2 for line in lines]
    ink = rasterize(lines)
    places = np.arange(SIDE) + 0.5
    mass = np.array([(ink.sum(axis=0) @ places), (ink.sum(axis=1) @ places)]) / ink.sum()
    ink = rasterize([line + SIDE / 2 - mass for line in lines])
    return np.asarray(np.rint(WHITE * ink), dtype=np.uint8)
