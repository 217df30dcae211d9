"""Inputs for claims, from small to large, the same in every run.

Every exercise draws from its own generator, seeded with its name, so that a failing input that a
student sees is the one that a teacher sees.
"""

from __future__ import annotations

import random

from yashe.arithmetic.primes import next_ntt_primes
from yashe.textbook.polynomials import Poly, root_of_unity


def generator(name: str) -> random.Random:
    """Return the generator of the exercise of that name. Nothing secret is drawn from it."""
    return random.Random(name)


def integers(rng: random.Random, limit: int, count: int) -> list[int]:
    """Return integers in [-limit, limit]."""
    return [rng.randint(-limit, limit) for _ in range(count)]


def unit(n: int, j: int) -> Poly:
    """Return x^j: zeros, and a 1 at index j."""
    return [int(i == j) for i in range(n)]


def primes_and_roots(*degrees: int) -> list[tuple[int, int, int]]:
    """Return (n, p, psi) for each degree: the smallest prime p = 1 (mod 2n) above 2n + 1."""
    chosen = [(n, next_ntt_primes(n, 2 * n + 2, 1)[0]) for n in degrees]
    return [(n, p, root_of_unity(n, p)) for n, p in chosen]


def polynomials(rng: random.Random, n: int, p: int, count: int) -> list[Poly]:
    """Return polynomials with coefficients in [-(p-1)/2, (p-1)/2]."""
    return [integers(rng, p // 2, n) for _ in range(count)]
