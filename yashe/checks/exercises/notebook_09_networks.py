"""The exercises of notebook 9: gradients of squares, rounded weights, and interval arithmetic."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yashe.checks.cases import generator
from yashe.checks.report import Check, Claim, exercise

# Whole numbers, also in float64: whatever the order of a sum, it is exact.
Array: TypeAlias = NDArray[Any]
Pair: TypeAlias = tuple[Array, Array]


def whole(name: str, limit: int, *shapes: tuple[int, ...]) -> list[Array]:
    """Return float64 arrays of integers in [-limit, limit], the same for the same name."""
    rng = generator(name)
    return [
        np.array(
            [rng.randint(-limit, limit) for _ in range(int(np.prod(shape)))], dtype=np.float64
        ).reshape(shape)
        for shape in shapes
    ]


@exercise("09")
def square_gradients() -> Check:
    """Check a function (x, w, dy) -> gradients of (x @ w)^2 at w and at x."""
    one = (np.array([[1.0, 2.0]]), np.array([[3.0], [1.0]]), np.array([[1.0]]))
    batches = [
        tuple(whole(f"square_gradients {b}", 9, (b, k), (k, m), (b, m)))
        for b, k, m in ((1, 2, 3), (3, 2, 2), (2, 5, 4))
    ]
    return Check(
        Claim("one image, two inputs, one output", [one], gradients),
        Claim("batches", batches, gradients, points=2),
        mistakes={
            "the 2 of the derivative 2h is missing": lambda x, w, dy: linear(x, w, x @ w * dy),
            "the derivative of h^2 is 2h, not 2: h = x w is missing": (
                lambda x, w, dy: linear(x, w, 2 * dy)
            ),
            "dy is missing: the gradient of the loss comes in through it": (
                lambda x, w, dy: linear(x, w, 2 * (x @ w))
            ),
            "the gradient at w is the sum over the batch, not the mean": (
                lambda x, w, dy: (gradients(x, w, dy)[0] / len(x), gradients(x, w, dy)[1])
            ),
            "the gradient at w is transposed; it has the shape of w": (
                lambda x, w, dy: (gradients(x, w, dy)[0].T, gradients(x, w, dy)[1])
            ),
            "this is the gradient of x w alone; the square has one as well": linear,
            "both are right, in the wrong order: first the gradient at w": (
                lambda x, w, dy: gradients(x, w, dy)[::-1]
            ),
        },
    )


def linear(x: Array, w: Array, dh: Array) -> Pair:
    """Return the gradients of x @ w."""
    return x.T @ dh, dh @ w.T


def gradients(x: Array, w: Array, dy: Array) -> Pair:
    """Return the gradients of (x @ w)^2."""
    return linear(x, w, 2 * (x @ w) * dy)


@exercise("09")
def round_weights() -> Check:
    """Check a function (w, density, limit) -> integer weights."""
    by_hand = np.array([0.1, -0.2, 0.3, -0.6])
    rng = generator("round_weights")
    layers = [
        (np.array([[rng.gauss(0, s) for _ in range(m)] for _ in range(k)]), density, limit)
        for s, k, m, density, limit in ((1, 3, 4, 0.8, 3), (0.01, 8, 5, 2.0, 7), (30, 6, 6, 0.5, 1))
    ]
    return Check(
        Claim("four weights, no limit in reach", [(by_hand, 1.0, 7), (by_hand, 2.0, 7)], integers),
        Claim("four weights, one of them beyond the limit", [(by_hand, 1.0, 1)], integers),
        Claim("whole layers", layers, integers),
        mistakes={
            "weights beyond the limit are not cut off": lambda w, density, limit: np.rint(
                w / step(w, density)
            ),
            "cut off towards zero, where they have to be rounded to the nearest integer": (
                lambda w, density, limit: np.clip(np.trunc(w / step(w, density)), -limit, limit)
            ),
            "the mean of w itself, where signs cancel; the mean of |w| is asked for": (
                lambda w, density, limit: np.clip(np.rint(w / (w.mean() / density)), -limit, limit)
            ),
            "the step is the mean of |w| times the density; it is divided by it": (
                lambda w, density, limit: integers(w, 1 / density, limit)
            ),
            "the largest weight becomes the limit; the mean |w| has to become the density": (
                lambda w, density, limit: np.rint(w / np.abs(w).max() * limit)
            ),
            "right, but multiplied by the step again: integers are asked for": (
                lambda w, density, limit: integers(w, density, limit) * step(w, density)
            ),
        },
    )


def step(w: Array, density: float) -> float:
    """Return the step size."""
    return float(np.abs(w).mean()) / density


def integers(w: Array, density: float, limit: int) -> Array:
    """Return the rounded weights."""
    return np.clip(np.rint(w / step(w, density)), -limit, limit).astype(np.int64)


@exercise("09")
def dense_interval() -> Check:
    """Check a function (low, high, w, b) -> the interval of x @ w + b."""
    pixels = (np.zeros(4), np.full(4, 4.0))
    zero = np.zeros(1)
    small = [
        (*pixels, np.array([[1.0], [2.0], [0.0], [3.0]]), zero),
        (*pixels, np.array([[1.0], [-2.0], [0.0], [3.0]]), zero),
        (*pixels, np.array([[1.0], [-2.0], [0.0], [3.0]]), np.array([1.0])),
        (*pixels, np.array([[-1.0], [-2.0], [0.0], [-3.0]]), np.array([1.0])),
    ]
    layers = []
    for k, m in ((3, 2), (5, 4)):
        x, y, w, b = whole(f"dense_interval {k}", 9, (k,), (k,), (k, m), (m,))
        layers.append((np.minimum(x, y), np.maximum(x, y), w, b))
    return Check(
        Claim("four pixels in [0, 4]", small, dense),
        Claim("layers behind others, where values can be negative", layers, dense, points=2),
        mistakes={
            "low @ w and high @ w: a negative weight takes the other end": (
                lambda low, high, w, b: (low @ w + b, high @ w + b)
            ),
            "the smaller and the larger of low @ w and high @ w: each weight chooses for itself": (
                lambda low, high, w, b: (
                    np.minimum(low @ w, high @ w) + b,
                    np.maximum(low @ w, high @ w) + b,
                )
            ),
            "the bias is missing": lambda low, high, w, b: dense(low, high, w, 0 * b),
            "the two ends have changed places: first the lowest": (
                lambda low, high, w, b: dense(low, high, w, b)[::-1]
            ),
            "the other end of a pixel is not always 0: low counts as well": (
                lambda low, high, w, b: dense(0 * low, high, w, b)
            ),
            "true, but wider than necessary: |w| times the largest |x|": (
                lambda low, high, w, b: wide(low, high, w, b)
            ),
        },
    )


def dense(low: Array, high: Array, w: Array, b: Array) -> Pair:
    """Return the tightest interval."""
    up, down = np.maximum(w, 0), np.minimum(w, 0)
    return low @ up + high @ down + b, high @ up + low @ down + b


def wide(low: Array, high: Array, w: Array, b: Array) -> Pair:
    """Return an interval around zero."""
    reach = np.maximum(np.abs(low), np.abs(high)) @ np.abs(w)
    return b - reach, b + reach


@exercise("09")
def square_interval() -> Check:
    """Check a function (low, high) -> the interval of x^2."""
    cases = {
        "positive numbers": [(2.0, 3.0)],
        "negative numbers": [(-3.0, -2.0)],
        "numbers on both sides of zero": [(-2.0, 3.0), (-3.0, 2.0)],
    }
    claims = [
        Claim(text, [(np.array([low]), np.array([high])) for low, high in ends], square)
        for text, ends in cases.items()
    ]
    x, y = whole("square_interval", 50, (12,), (12,))
    several = (np.minimum(x, y), np.maximum(x, y))
    return Check(
        *claims,
        Claim("many intervals at once, some of which end at zero", [edges(), several], square),
        mistakes={
            "low^2 and high^2: the square of a negative number is positive": (
                lambda low, high: (low * low, high * high)
            ),
            "the two ends have changed places: first the lowest": (
                lambda low, high: square(low, high)[::-1]
            ),
            "the smaller and the larger of the two squares: between them lies the square of 0": (
                lambda low, high: (
                    np.minimum(low * low, high * high),
                    np.maximum(low * low, high * high),
                )
            ),
            "as if x * x were a product of two different numbers: a square is not negative": (
                lambda low, high: (
                    np.minimum(np.minimum(low * low, low * high), high * high),
                    np.maximum(low * low, high * high),
                )
            ),
            "true, but wider than necessary: not every interval contains zero": (
                lambda low, high: (0 * low, np.maximum(low * low, high * high))
            ),
        },
    )


def edges() -> Pair:
    """Return intervals that end at zero, or are a single point."""
    return np.array([0.0, -3.0, 0.0, 2.0, -2.0]), np.array([3.0, 0.0, 0.0, 2.0, -2.0])


def square(low: Array, high: Array) -> Pair:
    """Return the tightest interval."""
    ends = low * low, high * high
    lowest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(*ends))
    return lowest, np.maximum(*ends)
