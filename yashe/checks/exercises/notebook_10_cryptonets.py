"""The exercises of notebook 10: slots, a layer on ciphertexts, and throughput."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.checks.cases import generator
from yashe.checks.compare import Function, WrongAnswer, call, require_equal
from yashe.checks.exercises.notebook_01_computing import SEED, toy
from yashe.checks.report import Check, Claim, exercise

Array = NDArray[Any]


@exercise("10")
def batch_to_slots() -> Check:
    """Check a function pixels (B, H, W, C) -> the same pixels as (H, W, C, B)."""
    shapes = [(1, 2, 2, 1), (4, 2, 2, 1), (3, 4, 5, 2), (2, 3, 3, 4)]
    images = [(np.arange(prod(shape), dtype=np.int64).reshape(shape),) for shape in shapes]
    return Check(
        Claim("four images of 2 x 2 pixels", images[:2], slots),
        Claim("images with any number of rows, columns and channels", images[2:], slots),
        mistakes={
            "reshape keeps the order of the numbers and mixes the images; axes have to move": (
                lambda pixels: pixels.reshape((*pixels.shape[1:], pixels.shape[0]))
            ),
            "all axes are reversed: rows and columns have changed places": lambda pixels: pixels.T,
            "first and last axis have changed places; the others have to stay in order": (
                lambda pixels: np.swapaxes(pixels, 0, -1)
            ),
            "nothing has moved: the batch is still the first axis": lambda pixels: pixels,
        },
    )


def slots(pixels: Array) -> Array:
    """Return the batch as the last axis."""
    return np.moveaxis(pixels, 0, -1)


Rows = list[list[Any]]


@exercise("10")
def convolution() -> Check:
    """Check a function (x, w, stride) -> rows of sums of w[a, b] x[stride i + a, stride j + b]."""
    rng = generator("convolution")

    def case(height: int, width: int, rows: int, columns: int, stride: int) -> tuple[Any, ...]:
        x = np.array([rng.randint(-9, 9) for _ in range(height * width)], dtype=np.int64)
        w = np.array([rng.randint(-3, 3) for _ in range(rows * columns)], dtype=np.int64)
        w[-1] = 2  # one weight at least that is not zero
        return x.reshape(height, width), w.reshape(rows, columns), stride

    by_hand = [
        (np.array([[5]]), np.array([[3]]), 1),
        (np.array([[5, 3, 3, 0]]), np.array([[1, -1]]), 1),
        (np.array([[5, 3, 3, 0]]), np.array([[1, -1]]), 2),
    ]
    numbers = [case(3, 3, 2, 2, 1), case(5, 5, 3, 3, 2), case(6, 9, 2, 3, 2), case(7, 5, 3, 1, 3)]
    pixels = [(np.arange(size * size * 2).reshape(size, size, 2), *rest) for size, *rest in (
        (2, np.array([[1, 2], [0, -1]]), 1), (5, np.array([[0, 1, 0], [2, 0, 0], [0, 0, -3]]), 2),
    )]  # fmt: skip
    return Check(
        Claim("one row, by hand", by_hand, convolved),
        Claim("windows of any size, in steps", numbers, convolved),
        Claim("ciphertexts, and weights that are zero", pixels, convolved, compare=on_pixels),
        mistakes={
            "rows and columns of the image have changed places": (
                lambda x, w, stride: convolved(np.swapaxes(x, 0, 1), w, stride)
            ),
            "the window is turned round: w[0, 0] belongs to the upper left": (
                lambda x, w, stride: convolved(x, w[::-1, ::-1], stride)
            ),
            "the stride is left out": lambda x, w, stride: convolved(x, w, 1),
            "the last row and column of windows are missing": (
                lambda x, w, stride: [row[:-1] for row in convolved(x, w, stride)[:-1]]
            ),
        },
    )


def convolved(x: Any, w: Array, stride: int) -> Rows:
    """Return the sums for every window of numbers, of arrays, or of ciphertexts."""
    rows, columns = w.shape
    tops = range(0, x.shape[0] - rows + 1, stride)
    lefts = range(0, x.shape[1] - columns + 1, stride)

    def window(i: int, j: int) -> Any:
        first, *others = (x[i + a, j + b] * int(w[a, b]) for a, b in np.argwhere(w))
        return sum(others, start=first)

    return [[window(i, j) for j in lefts] for i in tops]


def on_pixels(student: Function, right: Function, x: Array, w: Array, stride: int) -> None:
    """Refuse a function that, given x (H, W, slots) encrypted, returns no encrypted sums."""
    scheme, keys = toy()
    answer = call(student, (scheme.encrypt(x, keys.secret, SEED), w, stride))
    if not isinstance(answer, (list, tuple)) or not all(isinstance(row, list) for row in answer):
        raise WrongAnswer(f"a list of rows is needed, it returns a {type(answer).__name__}")
    kinds = {type(entry).__name__ for row in answer for entry in row} - {"Ciphertext"}
    if kinds:
        raise WrongAnswer(f"its rows hold {', '.join(sorted(kinds))}, where ciphertexts are needed")
    slots = [
        [scheme.decrypt(ct, keys.secret)[: x.shape[-1]].tolist() for ct in row] for row in answer
    ]
    require_equal(slots, right(x, w, stride))


@exercise("10")
def predictions_per_hour() -> Check:
    """Check a function (images, slots, seconds) -> images per hour."""
    full = [(4, 4, 2.0), (8192, 8192, 10.0), (16384, 8192, 10.0)]
    rest = [(1, 4, 2.0), (5, 4, 2.0), (11, 4, 2.0), (1, 8192, 10.0), (20000, 8192, 7.5)]
    return Check(
        Claim("full batches", full, rate, compare=nearly),
        Claim("a last batch that is not full takes as long as a full one", rest, rate, 2, nearly),
        mistakes={
            "as if every slot carried an image: a batch that is not full takes as long": (
                lambda images, slots, seconds: slots / seconds * 3600
            ),
            "as if everything fitted into one batch": (
                lambda images, slots, seconds: images / seconds * 3600
            ),
            "predictions per minute": (
                lambda images, slots, seconds: rate(images, slots, seconds) / 60
            ),
            "the last batch is left out if it is not full": (
                lambda images, slots, seconds: images / max(images // slots, 1) / seconds * 3600
            ),
        },
    )


def rate(images: int, slots: int, seconds: float) -> float:
    """Return the images per hour."""
    return images / (-(-images // slots) * seconds) * 3600


def nearly(student: Function, right: Function, *arguments: Any) -> None:
    """Compare two numbers, but for rounding."""
    answer = call(student, arguments)
    if not isinstance(answer, (int, float, np.number)):
        raise WrongAnswer("one number is needed", answer)
    if abs(float(answer) - right(*arguments)) > 1e-6 * abs(right(*arguments)):
        raise WrongAnswer("the number is wrong", answer)
