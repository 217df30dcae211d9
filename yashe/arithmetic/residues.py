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

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yashe.errors import ExactnessError, ParameterError

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

EXACT_LIMIT = 2**53  # every integer of at most this absolute value is a float64
PRIME_LIMIT = 2**24  # primes stay below, so that 128 products can be summed
BLOCK_BYTES = 2**19  # working set of a hot loop: with its scratch it fits in a 2 MiB cache


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


def column(moduli: tuple[int, ...]) -> FloatArray:
    """Return the moduli as a (k, 1) column that broadcasts against residues (..., k, n)."""
    return np.array(moduli, dtype=np.float64)[:, None]


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
    out = np.array(x, dtype=np.float64)
    reduce_inplace(out, p, 1.0 / np.asarray(p, dtype=np.float64), np.empty_like(out))
    return out


def reduce_inplace(x: FloatArray, p: Any, inverse: Any, scratch: FloatArray) -> None:
    """Reduce x in place; `inverse` is 1/p in float64 and `scratch` has the shape of x."""
    np.multiply(x, inverse, out=scratch)
    np.rint(scratch, out=scratch)
    np.multiply(scratch, p, out=scratch)  # exact: |p * rint(x/p)| <= |x| + p <= 2^53
    np.subtract(x, scratch, out=x)


def canonical(x: FloatArray, p: float | FloatArray) -> FloatArray:
    """Return the unique representatives in [-(p-1)/2, (p-1)/2], for comparing and writing out.

    Examples
    --------
    >>> canonical(np.array([9.0, -9.0, 3.0]), 17)
    array([-8.,  8.,  3.])
    """
    r = reduce(x, p)
    half = (np.asarray(p, dtype=np.float64) - 1) / 2
    return np.where(r > half, r - p, np.where(r < -half, r + p, r))


def blocks(total: int, bytes_per_item: int) -> Iterator[slice]:
    """Cut range(total) into slices whose items together take about BLOCK_BYTES."""
    step = max(1, BLOCK_BYTES // bytes_per_item)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


@lru_cache(maxsize=1)
def check_matrix_product_is_exact() -> None:
    """Compare worst-case matrix products with Python integers, once per process.

    The largest residues of both signs, as many terms as `max_terms` admits, in the shapes of the
    NTT and in a tiny one: a BLAS that splits, rescales or shortens its numbers is found here.

    Raises
    ------
    ExactnessError
        If this machine's matrix product is not exact below 2^53.
    """
    p = PRIME_LIMIT - 2**14 + 1
    terms = min(max_terms(p), 128)
    generator = np.random.default_rng(1)
    for rows, columns in ((1, 3), (64, 128), (128, 128)):
        signs = generator.choice(np.array([-1, 1], dtype=np.int64), size=(rows, terms))
        offsets = generator.integers(0, 2, size=(terms, columns), dtype=np.int64)
        left = signs * (bound(p) - generator.integers(0, 2, size=signs.shape, dtype=np.int64))
        right = np.where(signs[0][:, None] > 0, 1, -1) * (bound(p) - offsets)
        product = np.matmul(left.astype(np.float64), right.astype(np.float64))
        expected = left @ right  # int64: exact, every sum stays below 2^53
        if not np.array_equal(product, expected.astype(np.float64)):
            raise ExactnessError(
                "this machine's float64 matrix product is not exact for integers below 2^53; "
                "install a NumPy with a standard BLAS (OpenBLAS, MKL, Accelerate)"
            )
