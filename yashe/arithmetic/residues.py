"""Exact residues modulo small odd primes, kept as integer-valued float64.

A residue x modulo p < 2^24 is *centred*, |x| <= p/2, and stored as a float64 that happens to be an
integer. float64 holds every integer up to 2^53 exactly, so a sum of m products of residues is exact
as long as

    m * bound(p)^2 <= 2^53 - p,        about m <= 128 for 24-bit primes,

whatever the order of the additions, fused or not: every partial sum is an integer below 2^53. That
one inequality lets BLAS, made for floating point, do exact modular arithmetic. Nothing is rounded
except where the mathematics says round(.).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.devices import CACHE_BYTES, by_place, near
from yashe.errors import ExactnessError, ParameterError

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

EXACT_LIMIT = 2**53  # every integer of at most this absolute value is a float64
PRIME_LIMIT = 2**24  # primes stay below, so that 128 products can be summed


def bound(p: int) -> int:
    """Return the largest absolute value of a residue after `reduce`: (p + 3) / 2.

    Mathematically (p - 1) / 2 would do. `reduce` multiplies by the rounded 1/p, an error of at most
    2^-52 relative to x/p, hence of at most 2 in p * (x/p) for |x| <= 2^53: next to p/2 it may pick
    the neighbouring representative, up to p/2 + 2. Bounds are proved with this value.
    """
    return (p + 3) // 2


def max_terms(p: int) -> int:
    """Return how many products of two residues modulo p a float64 sums exactly."""
    return (EXACT_LIMIT - p) // bound(p) ** 2


def check_exact_sum(p: int, terms: int) -> None:
    """Refuse sums of products of residues that float64 could not hold.

    Raises
    ------
    ParameterError
        If p is not an odd number in [3, 2^24), or `terms` products may exceed 2^53.
    """
    if not 3 <= p < PRIME_LIMIT or p % 2 == 0:
        raise ParameterError(f"a modulus must be an odd prime below 2^24 = {PRIME_LIMIT}, not {p}")
    if terms > max_terms(p):
        raise ParameterError(
            f"a sum of {terms} products modulo {p} may exceed 2^53 and lose bits: "
            f"at most {max_terms(p)} are exact; take smaller primes"
        )


@lru_cache(maxsize=1024)
def column(numbers: tuple[int, ...]) -> FloatArray:
    """Return numbers, like the moduli, as a (k, 1) column that broadcasts against (..., k, n)."""
    return _constant(np.array(numbers, dtype=np.float64)[:, None])


@lru_cache(maxsize=1024)
def moduli_and_inverses(moduli: tuple[int, ...]) -> tuple[Any, Any]:
    """Return p and the rounded 1/p: columns, or numbers for a single prime."""
    if len(moduli) == 1:
        return float(moduli[0]), 1.0 / moduli[0]
    return column(moduli), _constant(1.0 / column(moduli))


def _constant(x: FloatArray) -> FloatArray:
    x.flags.writeable = False  # whoever asks gets the same array
    return x


def reduce(x: FloatArray, p: float | FloatArray) -> FloatArray:
    """Reduce integers modulo p to centred residues, x - p * rint(x / p), in new memory.

    Parameters
    ----------
    x : float64 array of integers, |x| <= 2^53 - p
    p : odd modulus, or an array of them that broadcasts against x

    Returns
    -------
    float64 array, congruent to x modulo p, absolute value at most bound(p)

    Examples
    --------
    >>> reduce(np.array([-9.0, 8.0, 9.0, 34.0]), 17)
    array([ 8.,  8., -8.,  0.])
    """
    out, p = x.astype(np.float64), near(p, x)
    reduce_inplace(out, p, 1.0 / p)
    return out


@by_place
def reduce_inplace(x: FloatArray, p: Any, inverse: Any, scratch: FloatArray | None = None) -> None:
    """Reduce x in place; `inverse` is 1/p in float64 and `scratch` has the shape of x."""
    scratch = np.multiply(x, inverse, out=np.empty_like(x) if scratch is None else scratch)
    np.rint(scratch, out=scratch)
    np.multiply(scratch, p, out=scratch)  # exact: |p * rint(x/p)| <= |x| + p <= 2^53
    np.subtract(x, scratch, out=x)


def by_prime(x: FloatArray) -> FloatArray:
    """Return a view of residues, shape (..., k, n), with the axis of the primes in front."""
    return np.moveaxis(x, -2, 0)


@by_place
def reduce_modulo(
    x: FloatArray, moduli: tuple[int, ...], scratch: FloatArray | None = None
) -> None:
    """Reduce integers of shape (..., k, n) in place, row i modulo moduli[i].

    What is too large for the cache is reduced prime by prime, so that its four passes are there.
    """
    if len(moduli) > 1 and scratch is None and x.nbytes > CACHE_BYTES:
        for row, p in zip(by_prime(x), moduli, strict=True):
            reduce_inplace(row, float(p), 1.0 / p)
        return
    reduce_inplace(x, *moduli_and_inverses(moduli), scratch)


@by_place
def add_modulo(x: FloatArray, y: FloatArray, moduli: tuple[int, ...]) -> None:
    """Add residues y to x, shape (..., k, n), in place and reduced."""
    x += y
    reduce_modulo(x, moduli)


@by_place
def multiply_modulo(
    x: FloatArray,
    y: FloatArray,
    moduli: tuple[int, ...],
    out: FloatArray,
    scratch: FloatArray | None = None,
) -> None:
    """Write products of residues, shape (..., k, n), reduced."""
    np.multiply(x, y, out=out)
    reduce_modulo(out, moduli, scratch)


@by_place
def twist_modulo(
    x: FloatArray, y: FloatArray, moduli: tuple[int, ...], scratch: FloatArray
) -> None:
    """Reduce integers x, shape (..., k, n), and multiply them by residues y, in place, reduced."""
    reduce_modulo(x, moduli, scratch)
    np.multiply(x, y, out=x)
    reduce_modulo(x, moduli, scratch)


@by_place
def dot(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the sums over i of x[..., i, :, :] y[i], not reduced; y has three axes."""
    sums: FloatArray = np.einsum("...ijn,ijn->...jn", x, y)
    return sums


@by_place
def canonical(x: FloatArray, p: float | FloatArray) -> FloatArray:
    """Return the unique representatives in [-(p-1)/2, (p-1)/2], for comparing and writing out.

    Examples
    --------
    >>> canonical(np.array([9.0, -9.0, 3.0]), 17)
    array([-8.,  8.,  3.])
    """
    p = near(p, x)
    r, half = reduce(x, p), (p - 1) / 2
    return np.where(r > half, r - p, np.where(r < -half, r + p, r))


@lru_cache(maxsize=1)
def check_matrix_product_is_exact() -> None:
    """Compare matrix products with Python integers, once in a process.

    Raises
    ------
    ExactnessError
        If the matrix product of this machine is not exact below 2^53.
    """
    for x, y, z in worst_products([(1, 3), (64, 128), (128, 128)]):  # a tiny one, those of the NTT
        if not np.array_equal(np.matmul(x, y), z):
            raise ExactnessError(
                "this machine's float64 matrix product is not exact for integers below 2^53; "
                "install a NumPy with a standard BLAS (OpenBLAS, MKL, Accelerate)"
            )


def worst_products(
    shapes: Sequence[tuple[int, int]],
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield pairs of matrices and their exact products, of these shapes.

    They are the largest residues of both signs, as many terms as `max_terms` admits: a BLAS that
    splits, rescales or shortens its numbers is found by them.
    """
    p = PRIME_LIMIT - 2**14 + 1
    terms = min(max_terms(p), 128)
    generator = np.random.default_rng(1)
    for rows, columns in shapes:
        signs = generator.choice(np.array([-1, 1], dtype=np.int64), size=(rows, terms))
        offsets = generator.integers(0, 2, size=(terms, columns), dtype=np.int64)
        left = signs * (bound(p) - generator.integers(0, 2, size=signs.shape, dtype=np.int64))
        right = np.where(signs[0][:, None] > 0, 1, -1) * (bound(p) - offsets)
        product = left @ right  # int64: exact, every sum stays below 2^53
        yield left.astype(np.float64), right.astype(np.float64), product.astype(np.float64)
