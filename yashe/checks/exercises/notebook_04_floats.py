"""The exercises of notebook 4: residues in floating point, and the Chinese remainder theorem."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from yashe.arithmetic.primes import ntt_primes
from yashe.arithmetic.residues import EXACT_LIMIT, bound, max_terms, reduce
from yashe.checks.cases import generator
from yashe.checks.compare import Function, WrongAnswer, call, modulo, require_equal
from yashe.checks.report import Check, Claim, exercise
from yashe.textbook.polynomials import centred, compose

LARGEST = ntt_primes(4096, 1)[0]  # a prime just below 2^24


def congruent(student: Function, right: Function, x: list[int], p: int) -> None:
    """Refuse residues that are not congruent to x, within bound(p), and float64."""
    array = np.array(x, dtype=np.float64)
    answer = call(student, (array, p))
    if not isinstance(answer, np.ndarray) or answer.dtype != np.float64:
        raise WrongAnswer("it must return a float64 array", answer)
    if answer.shape != array.shape:
        raise WrongAnswer(f"its shape is {answer.shape}, x has {array.shape}", answer)
    if not np.isfinite(answer).all() or (answer != np.rint(answer)).any():
        raise WrongAnswer("some results are not integers", answer)
    expected = [centred(int(y), p) for y in right(array, p)]
    require_equal([centred(int(y), p) for y in answer], expected)
    largest = int(np.abs(answer).max())
    if largest > bound(p):
        above = "0 .. p - 1, not centred" if answer.min() >= 0 else f"as large as {largest}"
        raise WrongAnswer(f"congruent to x, but {above}", answer)


@exercise("04")
def reduce_float() -> Check:
    """Check a function (x, p) -> x - p rint(x / p) for float64 arrays of integers."""
    rng = generator("reduce_float")
    small = [([0, 1, 16, 17, 18], 17), ([-1, -16, -17, 8, 9, -8, -9], 17)]
    large = [([rng.randint(-(2**52), 2**52) for _ in range(50)], p) for p in (17, 12289, LARGEST)]
    edge = [
        ([2**53 - LARGEST, -(2**53 - LARGEST)], LARGEST),
        ([LARGEST * 2**28 + d for d in (LARGEST // 2, -(LARGEST // 2), 0)], LARGEST),
    ]
    return Check(
        Claim("small numbers modulo 17", small, reduce, compare=congruent),
        Claim("numbers up to 2^52", large, reduce, compare=congruent),
        Claim("numbers next to 2^53, and next to half of p", edge, reduce, compare=congruent),
        mistakes={
            "the quotient is returned, not what is left of x": lambda x, p: np.rint(x / p),
            "everything becomes 0: rint acts on x / p, before the product with p": (
                lambda x, p: x - np.rint(x)
            ),
            "the sign: x - p rint(x / p), not p rint(x / p) - x": lambda x, p: (
                p * np.rint(x / p) - x
            ),
        },
    )


@exercise("04")
def terms_that_fit() -> Check:
    """Check a function p -> the largest m with m ((p + 3) / 2)^2 <= 2^53 - p."""
    odd = [(p,) for p in (3, 5, 17, 97, 4093, 12289, 786433, LARGEST)]
    return Check(
        Claim("the numbers of terms for primes from 3 to 24 bits", odd, max_terms),
        mistakes={
            "one too many or too few at some p: was something rounded to float?": (
                lambda p: round((EXACT_LIMIT - p) / bound(p) ** 2)
            ),
            "a residue is as large as (p + 3) / 2 only, not p": lambda p: (EXACT_LIMIT - p) // p**2,
            "two residues are multiplied: the square of the bound counts": (
                lambda p: (EXACT_LIMIT - p) // bound(p)
            ),
            "float64 holds integers up to 2^53, not 2^64": lambda p: (2**64 - p) // bound(p) ** 2,
            "the sum still has to be reduced: p of the room is for that": (
                lambda p: EXACT_LIMIT // bound(p) ** 2
            ),
            "residues here reach (p + 3) / 2, not (p - 1) / 2": (
                lambda p: (EXACT_LIMIT - p) // (p // 2) ** 2
            ),
            "the bound is (p + 3) / 2, not p + 3": lambda p: (EXACT_LIMIT - p) // (p + 3) ** 2,
        },
    )


@exercise("04")
def compose_residues() -> Check:
    """Check a function (residues, moduli) -> the x in (-q/2, q/2) with these residues."""

    def right(residues: list[int], moduli: list[int]) -> int:
        return compose(residues, moduli)

    same = modulo(lambda residues, moduli: prod(moduli))
    by_hand = [([1], [5]), ([2, -2], [5, 7]), ([-1, -1], [5, 7]), ([0, 3], [5, 7])]
    rng, random = generator("compose_residues"), []
    for moduli in ([3, 5, 7], [97, 193, 257], list(ntt_primes(1024, 8))):
        for _ in range(3):
            x = rng.randint(-(prod(moduli) // 2), prod(moduli) // 2)
            random.append(([centred(x, p) for p in moduli], moduli))
    return Check(
        Claim("two residues, by hand", by_hand, right, 1, same),
        Claim("up to eight primes of 24 bits", random, right, 1, same),
        mistakes={
            "the factor q/q_i is not 1 modulo q_i: its inverse is missing": (
                lambda residues, moduli: centred(plain_sum(residues, moduli), prod(moduli))
            ),
            "the inverse is that of q_i modulo q/q_i; that of q/q_i modulo q_i is needed": (
                lambda residues, moduli: inverted(residues, moduli)
            ),
            "the residues are just added": lambda residues, moduli: sum(residues),
        },
    )


def plain_sum(residues: Any, moduli: Any) -> int:
    """Return the sum of x_i q/q_i."""
    q = prod(moduli)
    return sum(x * (q // p) for x, p in zip(residues, moduli, strict=True))


def inverted(residues: Any, moduli: Any) -> int:
    """Return the sum of x_i (q/q_i) (q_i^-1 mod q/q_i), centred."""
    q = prod(moduli)
    pairs = zip(residues, moduli, strict=True)
    return centred(sum(x * (q // p) * pow(p, -1, q // p) for x, p in pairs), q)
