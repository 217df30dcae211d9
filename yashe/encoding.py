"""Batching: vectors of integers in the slots of one plaintext.

For a prime t_j = 1 (mod 2n), X^n + 1 splits into linear factors modulo t_j, so by the Chinese
remainder theorem a polynomial modulo t_j *is* the vector of its values at the odd powers of psi_j,
and products of polynomials are products slot by slot. t = t_1 t_2 ... multiplies the range: slots
hold the integers |m| < t/2.

The slots form a grid of 2 rows and n/2 columns: slot r n/2 + c is the value at psi^((-1)^r 5^c), so
that a Galois automorphism X -> X^(5^i) rotates the rows (Halevi and Shoup, ePrint 2014/106).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from yashe.errors import EncodingError
from yashe.params import Params
from yashe.residues import FloatArray, IntArray
from yashe.ring import CoefficientElement


@lru_cache(maxsize=16)
def slot_positions(n: int) -> IntArray:
    """Return, for every slot, the index of its value in the natural order of the NTT.

    Entry k of the NTT is the value at psi^(2k+1); slot r n/2 + c is the one at psi^((-1)^r 5^c).

    Examples
    --------
    The exponents 1, 5, -1 = 7, -5 = 3 modulo 8 stand at 0, 2, 3, 1:

    >>> slot_positions(4)
    array([0, 2, 3, 1])
    """
    powers = np.array([pow(5, c, 2 * n) for c in range(n // 2)], dtype=np.int64)
    return (np.concatenate([powers, 2 * n - powers]) - 1) // 2


@dataclass(frozen=True, eq=False)
class Plaintext:
    """Encoded messages: polynomials modulo t.

    Attributes
    ----------
    params : Params
    element : CoefficientElement of R_t with residues (*shape, number of primes of t, n)
    """

    params: Params
    element: CoefficientElement

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of plaintexts, each with n slots."""
        return self.element.residues.shape[:-2]

    def __repr__(self) -> str:
        return f"Plaintext(shape={self.shape}, {self.params.name})"


def check_integers(values: Any, what: str) -> IntArray:
    """Return values as int64, or refuse floats, booleans, and integers beyond 64 bits.

    Raises
    ------
    EncodingError
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise EncodingError(
            f"{what} must be integers of at most 64 bits, in rows of equal length"
        ) from error
    if array.size == 0 and array.dtype.kind == "f":
        return array.astype(np.int64)  # an empty list
    if array.dtype.kind not in "iu" or (array.dtype.kind == "u" and (array > 2**63 - 1).any()):
        raise EncodingError(f"{what} must be integers of at most 64 bits, not {array.dtype}")
    return array.astype(np.int64)


def encode(params: Params, values: Any) -> Plaintext:
    """Put integers into slots; slot i is values[..., i], and unused slots are 0.

    Parameters
    ----------
    params : Params
    values : integers, array-like of shape (..., m) with m <= n and |value| < t/2

    Returns
    -------
    Plaintext of shape (...)

    Raises
    ------
    EncodingError
        If there are more values than slots, or they are not integers within (-t/2, t/2).
    """
    array = check_slots(params, values)
    return Plaintext(params, CoefficientElement(params.plaintext_ring, interpolate(params, array)))


def check_slots(params: Params, values: Any) -> IntArray:
    """Return slot values as int64, shape (..., m), or refuse them as `encode` does."""
    array = check_integers(values, "slot values")
    if array.ndim == 0:
        raise EncodingError("slot values are a vector, got a single number: write [value]")
    if array.shape[-1] > params.n:
        raise EncodingError(
            f"{array.shape[-1]} values do not fit into the {params.n} slots of {params.name}; "
            "split them into batches"
        )
    half = params.t // 2
    if array.size and (int(array.max()) > half or int(array.min()) < -half):
        raise EncodingError(
            f"slot values must lie in [-{half}, {half}] (log2 t = {params.log2_t:.1f}), "
            f"got [{array.min()}, {array.max()}]"
        )
    return array


def interpolate(params: Params, values: IntArray) -> FloatArray:
    """Return the polynomials modulo t, shape (..., primes of t, n), with these slot values."""
    ring = params.plaintext_ring
    slots = np.zeros((*values.shape[:-1], len(ring.basis), params.n))
    slots[..., slot_positions(params.n)[: values.shape[-1]]] = ring.basis.decompose(values)
    return ring.transform.intt(slots)


def encode_constant(params: Params, values: Any) -> IntArray:
    """Return integers modulo t, centred: a constant polynomial holds one value in all slots.

    Parameters
    ----------
    params : Params
    values : integers of any shape; unlike slot values they may exceed t/2 and wrap

    Returns
    -------
    int64 array of the same shape, in [-(t-1)/2, (t-1)/2]

    Raises
    ------
    EncodingError
        If they are not integers of at most 64 bits.
    """
    array = check_integers(values, "constants")
    residue = np.mod(array, params.t, dtype=np.int64)
    return np.where(residue > params.t // 2, residue - params.t, residue)


def decode(plaintext: Plaintext) -> IntArray:
    """Return the slots as integers, the inverse of `encode`.

    Returns
    -------
    int64 array, shape (*plaintext.shape, n), values in (-t/2, t/2)
    """
    ring = plaintext.element.ring
    slots = ring.transform.ntt(plaintext.element.residues)[..., slot_positions(ring.n)]
    return ring.basis.compose_int64(slots)
