"""Ciphertexts as rows of residues, and what they need to know of their scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from yashe.errors import FormError, KeyMismatchError
from yashe.moves import Moves, join, numpys
from yashe.noise import Bound
from yashe.params import Params
from yashe.residues import FloatArray, IntArray
from yashe.ring import CoefficientElement, NttElement
from yashe.sampling import SeedArray

Self = TypeVar("Self", bound="RowArray")


class Arithmetic(Protocol):
    """What a ciphertext needs to know of its scheme; `yashe.scheme.Scheme` has it.

    Attributes
    ----------
    name : of the scheme
    params : its parameters
    first_secret_part : the parts of a ciphertext from here on hide the message
    fixed_parts : whether ciphertexts of degree 2 have as many parts as those of degree 1
    ntt_form : whether rows are values instead of coefficients
    """

    name: str
    params: Params
    first_secret_part: int
    fixed_parts: bool
    ntt_form: bool

    def multiply(self, a: Any, b: Any) -> Any:
        """Return the products of ciphertexts, slot by slot."""

    def rows(self, x: CoefficientElement | NttElement) -> FloatArray:
        """Return polynomials in the form of rows."""

    def values(self, rows: FloatArray) -> NttElement:
        """Return rows in NTT form."""

    def embedded(self, messages: FloatArray, factor: int) -> FloatArray:
        """Return what the first part of a ciphertext needs for messages modulo t."""

    def aligned(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return the same messages as they can be added: at one level, with one factor."""

    def switch_modulus(self, ct: Any, primes: int) -> Any:
        """Return the same ciphertexts with fewer primes in q."""

    def plain_addition_bound(self, degree: int) -> Bound:
        """Return what adding a constant adds to the noise."""

    def plaintext_addition_bound(self, message: FloatArray, degree: int) -> Bound:
        """Return what adding encoded messages adds to the noise."""


@dataclass(frozen=True, eq=False, repr=False)
class RowArray(Moves):
    """An array of ciphertexts without its arithmetic: which rows it consists of.

    Many arrays may share their rows. Whatever is sent, joined or copied leaves behind the rows that
    its index does not name.

    Attributes
    ----------
    scheme : the scheme that made it, with its parameters
    key_id : names the keys it belongs to
    rows : float64 array, shape (number of rows, parts, k, n), centred residues in the scheme's form
    bound : Bound of shape (number of rows,), what is known about the noise (`yashe.noise`)
    index : int64 array of the ciphertext array's shape, row numbers
    degree : power of the secret in the phase: 1 when fresh, 2 after a product, 1 when relinearised
    public_seed : for fresh ciphertexts of BFV and BGV made with the secret key, an array of
        `sampling.NUMBERED_SEED`, one per row, from which rows[:, 1] is expanded; not secret
    factor : what the messages are multiplied with in the phase, modulo t; 1 but in `yashe.bgv`
    """

    scheme: Arithmetic
    key_id: str
    rows: FloatArray
    bound: Bound
    index: IntArray
    degree: int = 1
    public_seed: SeedArray | None = None
    factor: int = 1

    plural = "ciphertexts"
    remedy = "decrypt them first"

    @property
    def params(self) -> Params:
        """Parameters of the scheme."""
        return self.scheme.params

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are kept in memory."""
        return self.rows.nbytes

    def at(self: Self, index: IntArray) -> Self:
        """Return the ciphertexts in these rows."""
        return replace(self, index=index)

    def copy(self: Self) -> Self:
        """Return the same ciphertexts with new rows, and none that the index does not name.

        A part of a large array keeps all of its rows in memory; a copy of the part does not.
        """
        used, index = np.unique(self.index, return_inverse=True)
        return replace(
            self,
            rows=self.rows[used],
            bound=self.bound[used],
            index=index.reshape(self.shape).astype(np.int64),
            public_seed=None if self.public_seed is None else self.public_seed[used],
        )

    def without_spare_rows(self: Self) -> Self:
        """Return the same ciphertexts; a copy, if there are rows that the index does not name."""
        return self if len(np.unique(self.index)) == len(self.rows) else self.copy()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the rows that the index names, not those beside them."""
        return dict(vars(self.without_spare_rows()))

    @staticmethod
    def concatenate(parts: Sequence[Self], axis: int | None = 0) -> Self:
        """Join arrays of ciphertexts along an axis, like numpy.concatenate.

        Raises
        ------
        KeyMismatchError, FormError
            If they belong to different keys, parameters or schemes, or differ in degree.
        ShapeError
            If there are none, or their shapes do not fit.
        """
        joined: Self = numpys(join, np.concatenate, parts, axis)
        return joined

    @staticmethod
    def stored_together(parts: Sequence[Self]) -> tuple[Self, list[IntArray]]:
        """Return an array with the ciphertexts of all parts, and the index of each part in it.

        Raises
        ------
        KeyMismatchError, FormError
        """
        first, *others = parts
        for other in others:
            first.check_same_keys(other)
            if other.degree != first.degree:
                raise FormError(f"degrees {first.degree} and {other.degree}: relinearize first")
            if other.factor != first.factor:
                raise FormError("the ciphertexts have different factors: see scheme.aligned")
        if all(part.rows is first.rows and part.bound is first.bound for part in parts):
            return first, [part.index for part in parts]
        kept = [part.without_spare_rows() for part in parts]
        starts = np.cumsum([0, *(len(part.rows) for part in kept)])[:-1]
        seeds = [part.public_seed for part in kept if part.public_seed is not None]
        store = replace(
            first,
            rows=np.concatenate([part.rows for part in kept]),
            bound=Bound.concatenate([part.bound for part in kept]),
            public_seed=np.concatenate(seeds) if len(seeds) == len(kept) else None,
        )
        return store, [part.index + start for part, start in zip(kept, starts, strict=True)]

    def check_same_keys(self, other: RowArray) -> None:
        """Refuse a ciphertext of another scheme, of other parameters, or under other keys.

        Raises
        ------
        KeyMismatchError
        """
        if self.scheme.name != other.scheme.name or self.params.digest != other.params.digest:
            raise KeyMismatchError(
                f"{self.scheme.name} {self.params.name} and {other.scheme.name} "
                f"{other.params.name} do not mix: parameters that differ in the number of primes "
                "only are made equal by scheme.switch_modulus, others not at all"
            )
        if self.key_id != other.key_id:
            raise KeyMismatchError("the ciphertexts are encrypted under different keys")
