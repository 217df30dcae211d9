"""The exercises of notebook 10: slots, throughput, and logits joined from several moduli."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.checks.cases import generator, integers
from yashe.checks.report import Check, Claim, Function, WrongAnswer, call, exercise
from yashe.textbook.polynomials import centred, compose

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


@exercise("10")
def join_logits() -> Check:
    """Check a function (a, b, t1, t2) -> integers modulo t1 t2, centred."""
    rng = generator("join_logits")
    small = [([2], [2], 5, 7), ([2], [-1], 5, 7), ([0, 1, -2], [1, 0, 3], 5, 7)]
    large = []
    for t1, t2 in ((40961, 65537), (1099511922689, 1099512004609)):
        x = integers(rng, t1 * t2 // 2, 5)
        large.append(([centred(v, t1) for v in x], [centred(v, t2) for v in x], t1, t2))
        large.append(([v % t1 for v in x], [v % t2 for v in x], t1, t2))
    return Check(
        Claim("modulo 5 and 7", small, joined),
        Claim("modulo the primes of the paper, residues centred or not", large, joined, points=2),
        mistakes={
            "right modulo t1 t2, but between 0 and t1 t2 - 1; logits can be negative": (
                lambda a, b, t1, t2: [x % (t1 * t2) for x in joined(a, b, t1, t2)]
            ),
            "right modulo t1, wrong modulo t2: the inverse of t1 modulo t2 is missing": (
                lambda a, b, t1, t2: [
                    centred(x + t1 * ((y - x) % t2), t1 * t2) for x, y in zip(a, b, strict=True)
                ]
            ),
            "right modulo t1, wrong modulo t2: the difference b - a has the wrong sign": (
                lambda a, b, t1, t2: [
                    centred(x + t1 * ((x - y) * pow(t1, -1, t2) % t2), t1 * t2)
                    for x, y in zip(a, b, strict=True)
                ]
            ),
            "the products do not fit into 64 bits and wrap; use Python's integers": (
                lambda a, b, t1, t2: wrapped(a, b, t1, t2)
            ),
        },
    )


def joined(a: list[int], b: list[int], t1: int, t2: int) -> list[int]:
    """Return the joined integers."""
    return [compose([x, y], [t1, t2]) for x, y in zip(a, b, strict=True)]


def wrapped(a: list[int], b: list[int], t1: int, t2: int) -> list[int]:
    """Return what 64-bit integers make of it."""
    x, y = np.array(a, dtype=np.int64), np.array(b, dtype=np.int64)
    multiple = (y - x) * np.int64(pow(t1, -1, t2)) % np.int64(t2)
    z = (x + np.int64(t1) * multiple).tolist()
    return [centred(int(v), t1 * t2) for v in z]
