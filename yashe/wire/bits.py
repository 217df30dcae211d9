"""Integers packed at the width of their prime: what residues look like on the wire.

A residue modulo p travels as its representative in [0, p), in b = p.bit_length() bits. The n
residues of a polynomial modulo p are one little-endian number, sum over i of r_i 2^(b i), written
in ceil(n b / 8) bytes; bits beyond n b are zero. docs/wire-format.md has an example by hand.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.residues import FloatArray
from yashe.errors import FormatError, ParameterError

ByteArray = NDArray[np.uint8]


def packed_bytes(n: int, moduli: tuple[int, ...]) -> int:
    """Return how many bytes a polynomial of n coefficients modulo every prime takes."""
    return sum((n * p.bit_length() + 7) // 8 for p in moduli)


def pack_polynomials(residues: FloatArray, moduli: tuple[int, ...]) -> ByteArray:
    """Pack residues of polynomials, prime after prime.

    Parameters
    ----------
    residues : float64 array, shape (..., k, n), centred residues
    moduli : the k primes, below 2^24

    Returns
    -------
    uint8 array, shape (..., packed_bytes(n, moduli))

    Raises
    ------
    ParameterError
        If they are no residues: not integers r with |r| < p.
    """
    rows = []
    for i, p in enumerate(moduli):
        centred = residues[..., i, :]  # |r| <= bound(p) < p, so that adding p once is enough
        if not ((np.abs(centred) < p) & (np.rint(centred) == centred)).all():
            raise ParameterError(f"residues modulo {p} were required: integers |r| < {p}")
        rows.append(pack(np.where(centred < 0, centred + p, centred), p.bit_length()))
    return np.concatenate(rows, axis=-1)


def unpack_polynomials(
    packed: ByteArray,
    n: int,
    moduli: tuple[int, ...],
    primes: slice = slice(None),
    out: FloatArray | None = None,
) -> FloatArray:
    """Unpack residues of polynomials, the inverse of `pack_polynomials`.

    Parameters
    ----------
    packed : uint8 array, shape (..., packed_bytes(n, moduli)), from anybody
    primes : those whose residues are wanted
    out : where to write them

    Returns
    -------
    float64 array, shape (..., primes, n), canonical centred residues

    Raises
    ------
    FormatError
        If a number is not below its prime, or a bit beyond the last number is set: every
        polynomial has one form only.
    """
    chosen = range(len(moduli))[primes]
    out = np.empty((*packed.shape[:-1], len(chosen), n)) if out is None else out
    for row, i in zip(np.moveaxis(out, -2, 0), chosen, strict=True):
        values = _numbers(packed, n, moduli, i)
        p = np.int32(moduli[i])
        row[...] = values.view(np.int32) - p * (values > p // 2)
    return out


def check_polynomials(packed: ByteArray, n: int, moduli: tuple[int, ...]) -> None:
    """Refuse what `unpack_polynomials` refuses.

    Raises
    ------
    FormatError
    """
    for i in range(len(moduli)):
        _numbers(packed, n, moduli, i)


def _numbers(packed: ByteArray, n: int, moduli: tuple[int, ...], i: int) -> NDArray[np.uint32]:
    """Return the residues modulo prime i in [0, p), shape (..., n)."""
    p, start, bits = moduli[i], packed_bytes(n, moduli[:i]), moduli[i].bit_length()
    row = packed[..., start : start + packed_bytes(n, (p,))]
    unused = 8 * row.shape[-1] - n * bits
    if (row[..., -1] >> (8 - unused)).any():
        raise FormatError(f"the last {unused} bits of a row modulo {p} must be zero")
    values = unpack(row, bits, n)
    largest = int(values.max(initial=0))
    if largest >= p:
        raise FormatError(f"a residue modulo {p} must be smaller than {p}, got {largest}")
    return values


def pack(values: FloatArray, bits: int) -> ByteArray:
    """Pack numbers in [0, 2^bits), bits <= 24: float64 (..., n) to bytes (..., ceil(n bits / 8)).

    Number i is added to the 4 bytes in which it begins: at most 7 + 24 bits. Numbers whose 4 bytes
    do not overlap are written together; they are `step` apart.
    """
    first, shift = _places(values.shape[-1], bits)
    length = (values.shape[-1] * bits + 7) // 8
    out = np.zeros((*values.shape[:-1], length + 3), dtype=np.uint8)
    words = _words(out)
    shifted = values.astype(np.uint32) << shift
    step = -(-39 // bits)  # step * bits >= 32 + 7
    for i in range(step):
        words[..., first[i::step]] |= shifted[..., i::step]
    return out[..., :length]


def unpack(packed: ByteArray, bits: int, n: int) -> NDArray[np.uint32]:
    """Return the n numbers that `pack` has packed: bytes (..., ceil(n bits / 8)) to (..., n)."""
    first, shift = _places(n, bits)
    padded = np.zeros((*packed.shape[:-1], packed.shape[-1] + 3), dtype=np.uint8)
    padded[..., :-3] = packed
    values = np.take(_words(padded), first, axis=-1)
    values >>= shift
    values &= np.uint32(2**bits - 1)
    return values


@lru_cache(maxsize=64)
def _places(n: int, bits: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return in which byte each of n numbers begins, and at which bit of it."""
    first, shift = np.divmod(np.arange(n, dtype=np.int64) * bits, 8)
    return first, shift.astype(np.uint32)


def _words(data: ByteArray) -> NDArray[np.uint32]:
    """Return a view of bytes (..., length + 3) as overlapping little-endian 4-byte numbers."""
    shape = (*data.shape[:-1], data.shape[-1] - 3)
    words: NDArray[np.uint32] = np.ndarray(shape, dtype="<u4", buffer=data, strides=data.strides)
    return words
