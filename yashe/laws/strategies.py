"""Hypothesis strategies for everything that this package computes with.

Polynomials and messages are lists of Python integers here, because that is what a reader's own
implementation takes; `residue_arrays` and `ring_elements` are for the engine. Extreme values are
drawn on purpose, and small cases come first, so that what fails shrinks to something readable.

Hypothesis is an optional dependency: the extra `test` installs it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np

from yashe.arithmetic.primes import next_ntt_primes, ntt_primes, prime_limit, root_of_unity
from yashe.arithmetic.residues import FloatArray, bound
from yashe.arithmetic.rings import CoefficientElement, Ring
from yashe.arithmetic.rns import RnsBasis
from yashe.arithmetic.sampling import SEED_BYTES
from yashe.ciphertexts.array import Ciphertext
from yashe.parameters.sets import Params
from yashe.schemes.base import Scheme
from yashe.textbook.polynomials import poly_mod

try:
    import hypothesis as hypothesis  # for the other modules as well
    from hypothesis import strategies
    from hypothesis.strategies import DrawFn
except ImportError as error:
    raise ImportError(
        "yashe.laws.strategies and yashe.laws need Hypothesis, which is not installed: "
        'pip install hypothesis, or this project with its extra, pip install ".[test]"'
    ) from error

st = strategies
SearchStrategy = strategies.SearchStrategy
Polynomial: TypeAlias = list[int]

DRAWN = 64  # entries that Hypothesis chooses one by one: of thousands it could not


def degrees(largest: int = 64) -> SearchStrategy[int]:
    """Ring degrees from 4 to `largest`, the small ones first."""
    return st.sampled_from([2**i for i in range(2, largest.bit_length())])


@lru_cache(maxsize=64)
def typical_ntt_primes(n: int) -> tuple[int, ...]:
    """Return the five smallest and the five largest primes with an exact NTT of degree n."""
    largest = ntt_primes(n, 5, below=prime_limit(n))
    return tuple(sorted({*next_ntt_primes(n, 3, 5), *largest}))


@st.composite
def ntt_pairs(draw: DrawFn, largest: int = 64) -> tuple[int, int, int]:
    """(n, p, psi): a degree, a prime p = 1 (mod 2n), and any one of its n roots with psi^n = -1."""
    n = draw(degrees(largest))
    p = draw(st.sampled_from(typical_ntt_primes(n)))
    odd = 2 * draw(st.integers(0, n - 1)) + 1
    return n, p, pow(root_of_unity(n, p), odd, p)


def centred_integers(limit: int) -> SearchStrategy[int]:
    """Integers |x| <= limit; 0, 1, -1 and both limits often."""
    extremes = sorted({0, min(1, limit), -min(1, limit), limit, -limit}, key=lambda x: (abs(x), -x))
    return st.sampled_from(extremes) | st.integers(-limit, limit)


def polynomials(n: int, q: int) -> SearchStrategy[Polynomial]:
    """Lists of n residues modulo q, each in (-q/2, q/2).

    Of long ones Hypothesis chooses the first 64 entries; the others are zero, or uniform.
    """
    limit = (q - 1) // 2
    drawn = st.lists(centred_integers(limit), min_size=min(n, DRAWN), max_size=min(n, DRAWN))
    if n <= DRAWN:
        return drawn

    def filled(start: Polynomial, seed: int) -> Polynomial:
        rng = random.Random(seed)
        return start + [rng.randint(-limit, limit) if seed else 0 for _ in range(n - DRAWN)]

    return st.builds(filled, drawn, st.integers(0, 2**32))


def seeds() -> SearchStrategy[bytes]:
    """32 bytes, those that repeat one byte first: they are short to write down."""
    repeated = st.integers(0, 255).map(lambda byte: bytes([byte]) * SEED_BYTES)
    return repeated | st.binary(min_size=SEED_BYTES, max_size=SEED_BYTES)


def rns_moduli(
    largest_n: int = 64, least: int = 1, most: int = 6
) -> SearchStrategy[tuple[int, ...]]:
    """Different primes that an NTT of one degree up to `largest_n` can use."""

    def of_degree(n: int) -> SearchStrategy[tuple[int, ...]]:
        some = st.sampled_from(typical_ntt_primes(n))
        return st.lists(some, min_size=least, max_size=most, unique=True).map(tuple)

    return degrees(largest_n).flatmap(of_degree)


def bases(most: int = 6) -> SearchStrategy[RnsBasis]:
    """Bases of one to `most` primes."""
    return rns_moduli(most=most).map(RnsBasis)


def integers_near_halves(ratio: Fraction, limit: int) -> SearchStrategy[int]:
    """Integers |x| <= limit, often with ratio * x next to a half, where rounding decides."""

    def near(half: int) -> int:
        x = round(Fraction(2 * half + 1, 2) / ratio)
        return max(-limit, min(limit, x))

    halves = max(1, int(ratio * limit))
    close = st.integers(-halves, halves).map(near)
    return centred_integers(limit) | close


def residue_arrays(
    n: int, moduli: Sequence[int], batch: tuple[int, ...] = ()
) -> SearchStrategy[FloatArray]:
    """float64 arrays (*batch, k, n) of residues as large as `reduce` may leave them behind."""
    count = prod(batch) * n

    def assemble(rows: tuple[list[int], ...]) -> FloatArray:
        shaped = [np.array(row, dtype=np.float64).reshape(*batch, n) for row in rows]
        return np.stack(shaped, axis=-2)

    rows = [st.lists(centred_integers(bound(p)), min_size=count, max_size=count) for p in moduli]
    return st.tuples(*rows).map(assemble)


def ring_elements(ring: Ring, batch: tuple[int, ...] = ()) -> SearchStrategy[CoefficientElement]:
    """Elements of a ring in coefficient form."""
    residues = residue_arrays(ring.n, ring.basis.moduli, batch)
    return residues.map(lambda rows: CoefficientElement(ring, rows))


@st.composite
def insecure_params(draw: DrawFn, largest_n: int = 64, products: int = 1) -> Params:
    """Toy parameters with one or two plaintext primes, and enough q for `products` in a row.

    Enough for YASHE', whose noise takes about 2 log2 t + 12 bits for each of products + 1 steps,
    and hence more than enough for BFV and BGV.
    """
    n = draw(degrees(largest_n))
    t_primes = next_ntt_primes(n, draw(st.sampled_from([2, 1000, 2**16])), 2)
    t_primes = t_primes[: draw(st.integers(1, 2))]
    bits = (products + 1) * (2 * prod(t_primes).bit_length() + 24)
    moduli = ntt_primes(n, 1 + bits // 23, avoid=t_primes)
    return Params(f"INSECURE_DRAWN_{n}", n, moduli, t_primes, security=None)


def messages(params: Params) -> SearchStrategy[list[int]]:
    """N slot values, |value| < t/2."""
    return polynomials(params.n, params.t)


@st.composite
def ciphertexts(draw: DrawFn, scheme: Scheme, keys: Any) -> tuple[Ciphertext, list[int]]:
    """A ciphertext that was computed in one of several ways, and the message it must decrypt to.

    Fresh, or a sum, or a multiple, or a product, relinearised or not.
    """
    params = scheme.params
    x, y = draw(messages(params)), draw(messages(params))
    ct, other = scheme.encrypt([x, y], keys.encryption, draw(seeds()))
    kind = draw(st.sampled_from(["fresh", "sum", "multiple", "product", "relinearized"]))
    if kind == "sum":
        return ct + other, poly_mod([a + b for a, b in zip(x, y, strict=True)], params.t)
    if kind == "multiple":
        return ct * 3, poly_mod([3 * a for a in x], params.t)
    if kind in ("product", "relinearized"):
        product = ct * other
        if kind == "relinearized":
            product = scheme.relinearize(product, keys.relinearization)
        return product, poly_mod([a * b for a, b in zip(x, y, strict=True)], params.t)
    return ct, x
