"""Batching: vectors of integers in the slots of one plaintext.

For a prime t_j = 1 (mod 2n), X^n + 1 splits into linear factors modulo t_j, so by the Chinese
remainder theorem a polynomial modulo t_j *is* the vector of its values at the odd powers of psi_j,
and products of polynomials are products slot by slot. t = t_1 t_2 ... multiplies the range: slots
hold the integers |m| < t/2.

The slots form a grid of 2 rows and n/2 columns: slot r n/2 + c is the value at psi^((-1)^r 5^c), so
that an automorphism X -> X^(5^i) turns both rows to the left by i, and X -> X^-1 exchanges them
(Halevi and Shoup, ePrint 2014/106). To encode, decode and batch, slots are just numbered: slot i
holds values[i], which is image i. That is column i of the first row for i < n/2, and column i - n/2
of the second row from there on; nothing rotates across that border.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.rings import CoefficientElement
from yashe.ciphertexts.moves import Moves, numpys
from yashe.ciphertexts.opaque import Opaque
from yashe.errors import EncodingError, KeyMismatchError, OperationError
from yashe.parameters.sets import Params


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


@lru_cache(maxsize=16)
def _slot_numbers(n: int) -> IntArray:
    """Return, for every value of the NTT in natural order, the number of its slot."""
    return np.argsort(slot_positions(n))


@dataclass(frozen=True, eq=False)
class Plaintext(Moves):
    """Encoded messages: an array of polynomials modulo t.

    `+`, `-` and `*` are those of the slots, between plaintexts and with ciphertexts. Numbers have
    to be encoded first: for a ciphertext, a number is one for all slots.

    Attributes
    ----------
    params : Params
    element : CoefficientElement of R_t with residues (*shape, number of primes of t, n)
    """

    params: Params
    element: CoefficientElement
    index: IntArray = field(init=False)  # the place of each polynomial, for what only moves them

    plural = "plaintexts"
    remedy = "decode them first"

    def __post_init__(self) -> None:
        shape = self.element.residues.shape[:-2]
        index = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
        object.__setattr__(self, "index", index)

    def __repr__(self) -> str:
        return f"Plaintext(shape={self.shape}, {self.params.name})"

    def at(self, index: IntArray) -> Plaintext:
        """Return the plaintexts with these numbers."""
        residues = self.element.residues
        chosen = residues.reshape(-1, *residues.shape[-2:])[index]
        return Plaintext(self.params, CoefficientElement(self.element.ring, chosen))

    @staticmethod
    def stored_together(parts: Sequence[Plaintext]) -> tuple[Plaintext, list[IntArray]]:
        """Return all plaintexts in one row, and their numbers there."""
        first, starts = parts[0], np.cumsum([0, *(part.size for part in parts)])
        for other in parts:
            check_same_slots(first.params, other.params)
        residues = np.concatenate([part.ravel().element.residues for part in parts])
        store = Plaintext(first.params, CoefficientElement(first.element.ring, residues))
        return store, [part.index + i for part, i in zip(parts, starts[:-1], strict=True)]

    def __neg__(self) -> Plaintext:
        return Plaintext(self.params, -self.element)

    def __pos__(self) -> Plaintext:
        return self

    def __add__(self, other: Any) -> Any:
        return self._combined(other, operator.add)

    def __sub__(self, other: Any) -> Any:
        return self._combined(other, operator.sub)

    def __mul__(self, other: Any) -> Any:
        return self._combined(other, lambda x, y: (x.ntt() * y.ntt()).intt())

    def _combined(self, other: Any, operation: Callable[[Any, Any], CoefficientElement]) -> Any:
        if not isinstance(other, Plaintext):
            return NotImplemented if isinstance(other, Opaque) else self._refuse_numbers(other)
        check_same_slots(self.params, other.params)
        numpys(np.broadcast_shapes, self.shape, other.shape)
        return Plaintext(self.params, operation(self.element, other.element))

    def _refuse_numbers(self, other: Any) -> NoReturn:
        raise OperationError(
            f"plaintexts do not mix with {type(other).__name__}: encode numbers with "
            "scheme.encode, one for each slot, or compute with numbers before they are encoded"
        )

    # With another Plaintext or a Ciphertext on the left, their own operators are called.
    __radd__ = __rsub__ = __rmul__ = _refuse_numbers


def check_same_slots(params: Params, other: Params) -> None:
    """Refuse plaintexts that were encoded for another n or another t; q does not matter.

    Raises
    ------
    KeyMismatchError
    """
    if (params.n, params.plaintext_moduli) != (other.n, other.plaintext_moduli):
        raise KeyMismatchError(
            f"a plaintext for {other.name} does not fit {params.name}: n and t must be the same; "
            "encode the numbers again"
        )


def as_integers(values: Any, what: str) -> NDArray[Any]:
    """Return integers of any size: as int64, or as Python integers if some need more bits.

    Raises
    ------
    EncodingError
        If they are anything else: floats, booleans, text, rows of different lengths.
    """
    if np.ma.is_masked(values):
        raise EncodingError(f"{what} must be integers, and none of them masked")
    try:
        array = np.asarray(values)
        if array.dtype.kind == "i" or array.dtype in (np.uint8, np.uint16, np.uint32):
            return array.astype(np.int64)
        # Python integers, one by one: to NumPy 2^64 is an object, and [2^63, -1] are two floats.
        exact = np.asarray(values, dtype=object)
    except (ValueError, OverflowError) as error:
        raise EncodingError(f"{what} must be integers, in rows of equal length") from error
    if array.dtype.kind not in "ufO" or not all(
        type(x) is int or isinstance(x, np.integer) for x in exact.flat
    ):
        raise EncodingError(f"{what} must be integers, not {array.dtype}")
    numbers = [int(x) for x in exact.flat]
    narrow = all(-(2**63) <= x < 2**63 for x in numbers)
    return np.array(numbers, dtype=np.int64 if narrow else object).reshape(array.shape)


def check_integers(values: Any, what: str) -> IntArray:
    """Return values as int64, or refuse what `as_integers` does and integers beyond 64 bits.

    Raises
    ------
    EncodingError
    """
    array = as_integers(values, what)
    if array.dtype == object:
        raise EncodingError(f"{what} must be integers of at most 64 bits")
    return array


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
    slots = np.zeros((*values.shape[:-1], params.n), dtype=np.int64)
    slots[..., : values.shape[-1]] = values
    in_order = np.take(slots, _slot_numbers(params.n), axis=-1)
    return ring.transform.intt(ring.basis.decompose(in_order))


def encode_constant(params: Params, values: Any) -> IntArray:
    """Return integers modulo t, centred: a constant polynomial holds one value in all slots.

    Parameters
    ----------
    params : Params
    values : integers of any shape and size; unlike slot values they may exceed t/2 and wrap

    Returns
    -------
    int64 array of the same shape, in [-(t-1)/2, (t-1)/2]

    Raises
    ------
    EncodingError
        If they are not integers.
    """
    residue = np.asarray(as_integers(values, "constants") % params.t, dtype=np.int64)
    return np.where(residue > params.t // 2, residue - params.t, residue)


def decode(plaintext: Plaintext) -> IntArray:
    """Return the slots as integers, the inverse of `encode`.

    Returns
    -------
    int64 array, shape (*plaintext.shape, n), values in (-t/2, t/2)

    Raises
    ------
    OperationError
        If it is no Plaintext.
    """
    if not isinstance(plaintext, Plaintext):
        raise OperationError(
            f"slots are those of a Plaintext, not of a {type(plaintext).__name__}: ciphertexts are "
            "decrypted, scheme.decrypt(ct, key)"
        )
    ring = plaintext.element.ring
    slots = ring.transform.ntt(plaintext.element.residues)[..., slot_positions(ring.n)]
    return ring.basis.compose(slots, np.int64)
