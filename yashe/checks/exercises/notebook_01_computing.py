"""The exercises of notebook 1: what a server can do with numbers it cannot read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from yashe.checks.cases import generator, integers
from yashe.checks.compare import Function, WrongAnswer, an, call, require_equal
from yashe.checks.report import Check, Claim, exercise
from yashe.ciphertexts.array import Ciphertext
from yashe.parameters.sets import INSECURE_TOY
from yashe.schemes.bfv import BFV

SEED = bytes(32)  # of keys that protect nothing


@lru_cache(maxsize=1)
def toy() -> tuple[BFV, Any]:
    """Return a small scheme with keys, made when the first check needs them."""
    scheme = BFV(INSECURE_TOY)
    return scheme, scheme.keygen(SEED, rotations="all")


def on_ciphertexts(student: Function, right: Function, x: list[list[int]], *others: Any) -> None:
    """Refuse a function that, given x encrypted, returns no encryption of right(x, ...).

    `right` works on integer arrays whose last axis are the slots.
    """
    scheme, keys = toy()
    encrypted = scheme.encrypt(x, keys.secret, SEED)
    answer = call(student, (encrypted, *others))
    if not isinstance(answer, Ciphertext):
        raise WrongAnswer(
            f"it returns {an(answer)}, where a ciphertext is needed: the server has no key, and "
            "computes with + - * @ and sums of ciphertexts"
        )
    slots = scheme.decrypt(answer, keys.secret)[..., : len(x[0])]
    require_equal(slots, right(np.array(x, dtype=np.int64), *others))


@exercise("01")
def weighted_sum() -> Check:
    """Check a function (x, weights, bias) -> encryption of sum of weights[i] x[i] + bias."""

    def right(x: Any, weights: list[int], bias: int) -> Any:
        return np.array(weights, dtype=np.int64) @ x + bias

    rng = generator("weighted_sum")
    small = [([[3, 5]], [2], 0), ([[1, 2], [10, 20]], [1, 1], 0), ([[1, 2], [10, 20]], [1, -1], 0)]
    biases = [([[1, 2]], [1], 7), ([[0, 0], [4, 4]], [2, 3], -5)]
    random = [
        ([integers(rng, 50, 3) for _ in range(k)], [rng.randint(1, 9) for _ in range(k)], k)
        for k in (3, 8)
    ]
    return Check(
        Claim("sums and differences of two ciphertexts", small, right, compare=on_ciphertexts),
        Claim("with a bias", biases, right, compare=on_ciphertexts),
        Claim("up to eight ciphertexts with any weights", random, right, compare=on_ciphertexts),
        mistakes={
            "the bias is missing": lambda x, weights, bias: right(x, weights, 0),
            "the bias is added once for each ciphertext, not once": (
                lambda x, weights, bias: right(x, weights, len(weights) * bias)
            ),
            "only the first ciphertext counts": (
                lambda x, weights, bias: right(x[:1], weights[:1], bias)
            ),
            "each ciphertext has its weight, but they are not added up": (
                lambda x, weights, bias: (np.array(weights) * x.T).T + bias
            ),
            "the weights are left out": (
                lambda x, weights, bias: right(x, [1] * len(weights), bias)
            ),
        },
    )


@exercise("01")
def quadratic() -> Check:
    """Check a function x -> encryption of x^2 - 3 x + 2, slot by slot."""

    def right(x: Any) -> Any:
        return x * x - 3 * x + 2

    return Check(
        Claim("its zeros", [([[1, 2]],)], right, compare=on_ciphertexts),
        Claim(
            "other values", [([[0, 3, -1]],), ([[90, -50], [7, 9]],)], right, compare=on_ciphertexts
        ),
        mistakes={
            "the constant is missing": lambda x: x * x - 3 * x,
            "the middle term has the wrong sign": lambda x: x * x + 3 * x + 2,
            "the square is missing: * multiplies ciphertexts slot by slot": lambda x: -3 * x + 2,
            "3 x is squared together with x": lambda x: (x - 3 * x) * (x - 3 * x) + 2,
        },
    )


@exercise("01")
def expansion() -> Check:
    """Check a function (n, log2_q, images) -> bytes of an encrypted pixel for each image."""

    def right(n: int, log2_q: int, images: int) -> float:
        return 2 * n * log2_q / 8 / images

    cases = [(8, 8, 1), (8, 8, 8), (8192, 200, 8192), (8192, 200, 1), (16384, 430, 1000)]
    return Check(
        Claim("bytes for each pixel of each image", cases, right),
        mistakes={
            "these are bits; a byte has eight": lambda n, log2_q, images: 2 * n * log2_q / images,
            "a ciphertext has two parts": lambda n, log2_q, images: n * log2_q / 8 / images,
            "these are the bytes of the whole ciphertext; how many images share it?": (
                lambda n, log2_q, images: 2 * n * log2_q / 8
            ),
        },
    )
