"""Random polynomials from SHAKE-256 streams.

Every sample is a function of a 32-byte seed and a label: the stream SHAKE-256(seed || label) is
read once, from its start. Fresh seeds come from the operating system; a given seed repeats
everything, for tests, notebooks and for sending the uniform half of a ciphertext as 32 bytes.
Distinct labels give independent streams, so the order in which samples are drawn does not matter.

The three distributions are those of the security table (`yashe.parameters.security`): uniform
modulo q, uniform ternary for secrets, discrete Gaussian with sigma = 3.2 for errors. Not constant
time.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.residues import FloatArray, reduce_modulo
from yashe.errors import ParameterError

SEED_BYTES = 32
SIGMA = Fraction(16, 5)  # standard deviation of the errors: 3.2
TAIL = 32  # errors stop at 10 sigma: the probability beyond is below 2^-75
CUT = 127  # none of them: see `gaussian`

# From which a uniform half is expanded: a seed, which is not secret, and the number of a row.
NUMBERED_SEED = np.dtype([("seed", "u1", (SEED_BYTES,)), ("row", "<u4")])
SeedArray: TypeAlias = NDArray[np.void]  # of that dtype


def fresh_seed() -> bytes:
    """Return 32 random bytes from the operating system."""
    return os.urandom(SEED_BYTES)


def check_seed(seed: bytes | None) -> bytes:
    """Return the seed, or a fresh one for None.

    Raises
    ------
    ParameterError
        If it is not 32 bytes.
    """
    if seed is None:
        return fresh_seed()
    if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
        raise ParameterError(f"a seed is {SEED_BYTES} bytes (or None for a fresh one)")
    return seed


def derive_seed(seed: bytes, label: str) -> bytes:
    """Return another seed, from which the first one cannot be computed."""
    return stream(seed, label, SEED_BYTES)


def stream(seed: bytes, label: str, length: int) -> bytes:
    """Return the first `length` bytes of SHAKE-256(seed || label)."""
    return hashlib.shake_256(seed + label.encode("ascii")).digest(length)


def draws(seed: bytes, labels: Sequence[str], count: int, kind: str) -> NDArray[Any]:
    """Return the first `count` integers of the streams of labels, shape (len(labels), count).

    kind : their type, like "<u4" for little-endian ones of 4 bytes
    """
    length = count * np.dtype(kind).itemsize
    joined = b"".join([stream(seed, label, length) for label in labels])
    return np.frombuffer(joined, dtype=kind).reshape(len(labels), count)


def uniform(seed: bytes, labels: Sequence[str], n: int, moduli: tuple[int, ...]) -> FloatArray:
    """Return the coefficients of polynomials uniform modulo q = the product of the moduli.

    Parameters
    ----------
    seed : 32 bytes
    labels : one for each polynomial, ASCII; row i reads the stream f"{label}/{q_i}"
    n : number of coefficients
    moduli : k primes below 2^24

    Returns
    -------
    float64 array, shape (len(labels), k, n), centred residues in [-(q_i - 1)/2, (q_i - 1)/2]
    """
    streams = [f"{label}/{p}" for label in labels for p in moduli]
    # Of draws of 3 bytes those beyond the last whole multiple of p would make the small residues
    # likelier: they are dropped.
    limits = np.array([2**24 // p * p for p in moduli] * len(labels), dtype=np.uint32)[:, None]
    count = n * 2**24 // min(2**24 // p * p for p in moduli)
    count += 6 * math.isqrt(count) + 16  # enough but once in 10^9 times
    while True:
        # Little-endian 3-byte integers, read as overlapping 4-byte ones and masked.
        data = b"".join([stream(seed, one, 3 * count) for one in streams]) + b"."
        words = np.ndarray((len(streams), count), "<u4", data, strides=(3 * count, 3)) & 0xFFFFFF
        accepted = words < limits
        kept = np.count_nonzero(accepted, axis=1)
        if (kept >= n).all():
            break
        count *= 2
    flat = np.compress(accepted.reshape(-1), words)  # words[...] guesses which one comes next
    starts = np.cumsum(kept) - kept
    rows = np.array([flat[start : start + n] for start in starts], dtype=np.float64)
    residues = rows.reshape(len(labels), len(moduli), n)
    reduce_modulo(residues, moduli)  # canonical: below 2^24 1/p is exact enough
    return residues


def uniform_half(seed: bytes, rows: Iterable[int], n: int, moduli: tuple[int, ...]) -> FloatArray:
    """Return the uniform halves of the rows with these numbers of an encryption with a secret key.

    The seed is not secret: with it and a number a half travels. Shape (rows, k, n), as `uniform`.
    """
    return uniform(seed, [f"encrypt-a/{row}" for row in rows], n, moduli)


def numbered_seeds(seed: bytes, count: int) -> SeedArray:
    """Return the seed with the numbers 0, 1, ..., count - 1."""
    found = np.empty(count, dtype=NUMBERED_SEED)
    found["seed"] = np.frombuffer(seed, dtype=np.uint8)
    found["row"] = np.arange(count, dtype=np.uint32)
    return found


def ternary(seed: bytes, labels: Sequence[str], n: int) -> FloatArray:
    """Return polynomials with coefficients uniform in {-1, 0, 1}, float64, (len(labels), n).

    A byte below 255 = 3 * 85 gives byte mod 3 - 1; the byte 255 is dropped.
    """
    rows = np.empty((len(labels), n))
    for row, label in zip(rows, labels, strict=True):
        row[...] = _bytes_below_255(seed, label, n) % 3
    return rows - 1


def _bytes_below_255(seed: bytes, label: str, n: int) -> NDArray[np.uint8]:
    """Return the first n of them of a stream."""
    length = n + n // 32 + 64
    while True:
        values = np.frombuffer(stream(seed, label, length), dtype=np.uint8)
        kept = values[values < 255]
        if len(kept) >= n:
            return kept[:n]
        length *= 2


@lru_cache(maxsize=1)
def gaussian_table() -> NDArray[np.uint64]:
    """Return floor(2^64 P(X <= i - 32)) for i = 0 .. 63: the cumulative distribution of the errors.

    P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) on -32 .. 32, computed with 60 digits.
    """
    with localcontext() as context:
        context.prec = 60
        two_variances = 2 * Decimal(SIGMA.numerator) ** 2 / Decimal(SIGMA.denominator) ** 2
        weights = [(-(Decimal(x) ** 2) / two_variances).exp() for x in range(-TAIL, TAIL + 1)]
        total = sum(weights)
        # The last entry, 2^64, is larger than every draw.
        table = [int(running * 2**64 / total) for running in accumulate(weights[:-1])]
    return np.array(table, dtype=np.uint64)


@lru_cache(maxsize=1)
def _gaussian_lookup() -> NDArray[np.int8]:
    """Return what all draws with the same upper 16 bits give; CUT where the table cuts them."""
    first = np.arange(2**16, dtype=np.uint64) << np.uint64(48)
    low, high = (
        np.searchsorted(gaussian_table(), u, side="right")
        for u in (first, first + np.uint64(2**48 - 1))
    )
    return np.where(low == high, low - TAIL, CUT).astype(np.int8)


def gaussian(seed: bytes, labels: Sequence[str], n: int) -> FloatArray:
    """Return polynomials of errors: discrete Gaussian with sigma 3.2 on [-32, 32].

    Inversion: an 8-byte draw u gives the smallest x with u < 2^64 P(X <= x). Its upper 16 bits say
    which one that is, but for one draw in a thousand. Float64 array (len(labels), n).
    """
    found = draws(seed, labels, n, "<u8")
    x = _gaussian_lookup()[found.view("<u2")[:, 3::4]]
    cut = x == CUT
    x[cut] = np.searchsorted(gaussian_table(), found[cut], side="right") - TAIL
    errors: FloatArray = x.astype(np.float64)
    return errors
