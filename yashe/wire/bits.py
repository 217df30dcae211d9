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
        centred = residues[..., i, :]
        with np.errstate(invalid="ignore"):  # what is no integer is another one then
            values = centred.astype(np.int32)
        if not ((values == centred).all() and -p < values.min() and values.max() < p):
            raise ParameterError(f"residues modulo {p} were required: integers |r| < {p}")
        values += np.int32(p) * (values < 0)
        rows.append(pack(values, p.bit_length()))
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


def pack(values: NDArray[np.int32], bits: int) -> ByteArray:
    """Pack numbers in [0, 2^bits), bits <= 24: int32 (..., n) to bytes (..., ceil(n bits / 8)).

    Number i is added to the 4 bytes in which it begins: at most 7 + 24 bits. Numbers that are
    `step` apart begin `bits` or a few times as many bytes apart, so that their 4 bytes do not
    overlap: they are added together.
    """
    n, step = values.shape[-1], 8 * -(-4 // bits)
    first, shift = _places(n, bits)
    length = (n * bits + 7) // 8
    out = np.zeros((*values.shape[:-1], length + 3), dtype=np.uint8)
    shifted = values.astype(np.uint32) << shift
    for i in range(min(step, n)):
        some = shifted[..., i::step]
        _words(out, int(first[i]), step * bits // 8)[..., : some.shape[-1]] |= some
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


def _words(data: ByteArray, first: int = 0, apart: int = 1) -> NDArray[np.uint32]:
    """Return a view of bytes, from the first one on, as little-endian 4-byte numbers.

    They begin so many bytes apart, and overlap where those are less than 4.
    """
    shape = (*data.shape[:-1], (data.shape[-1] - 4 - first) // apart + 1)
    strides = (*data.strides[:-1], apart)
    words: NDArray[np.uint32] = np.ndarray(shape, "<u4", data, first, strides)
    return words
