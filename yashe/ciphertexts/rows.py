"""Ciphertexts as rows of residues, and what they need to know of their scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from yashe.arithmetic.places import moved, place_of
from yashe.arithmetic.residues import FloatArray, IntArray
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.arithmetic.sampling import SeedArray
from yashe.ciphertexts import noise
from yashe.ciphertexts.moves import Moves, join, numpys
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.packed import ALL, Numbers, PackedRows
from yashe.ciphertexts.ranges import Interval, check_fits, combined, declared
from yashe.ciphertexts.trace import observe
from yashe.errors import FormError, KeyMismatchError, PlaceError
from yashe.parameters.sets import Params

Self = TypeVar("Self", bound="RowArray")


class Arithmetic(Protocol):
    """What a ciphertext needs to know of its scheme; `yashe.schemes.base.Scheme` has it.

    Attributes
    ----------
    name : of the scheme
    params : its parameters
    fixed_parts : whether ciphertexts of degree 2 have as many parts as those of degree 1
    ntt_form : whether rows are values instead of coefficients
    """

    name: str
    params: Params
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

    def check_not_transparent(self, rows: FloatArray, what: str) -> None:
        """Refuse rows that show their message without a key."""

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
    store : its rows, or `PackedRows` that become rows when they are needed
    rows : float64 array, shape (number of rows, parts, k, n), centred residues in the scheme's form
    bound : Bound of shape (number of rows,), what is known about the noise
        (`yashe.ciphertexts.noise`)
    index : int64 array of the ciphertext array's shape, row numbers
    degree : power of the secret in the phase: 1 when fresh, 2 after a product, 1 when relinearised
    public_seed : for fresh ciphertexts of BFV and BGV made with the secret key, an array of
        `sampling.NUMBERED_SEED`, one per row, from which rows[:, 1] is expanded; not secret
    factor : what the messages are multiplied with in the phase, modulo t; 1 but in
        `yashe.schemes.bgv`
    within : Interval of shape (number of rows,), what slots lie within
        (`yashe.ciphertexts.ranges`), or None
    """

    scheme: Arithmetic
    key_id: str
    store: FloatArray | PackedRows
    bound: Bound
    index: IntArray
    degree: int = 1
    public_seed: SeedArray | None = None
    factor: int = 1
    within: Interval | None = None

    plural = "ciphertexts"
    remedy = "decrypt them first"

    @property
    def params(self) -> Params:
        """Parameters of the scheme."""
        return self.scheme.params

    @property
    def rows(self) -> FloatArray:
        """All rows; see above."""
        return self.store.rows if isinstance(self.store, PackedRows) else self.store

    def part(self, numbers: Numbers, primes: slice = ALL) -> FloatArray:
        """Return the rows with some numbers modulo some of the primes, without unpacking more."""
        if isinstance(self.store, PackedRows):
            return self.store.part(numbers, primes)
        if not isinstance(numbers, slice):
            numbers = np.asarray(numbers, like=self.store)
        return self.store[numbers, :, primes]

    @property
    def like(self) -> FloatArray:
        """An empty array in the memory where the rows are, to make new ones there."""
        return np.empty(0) if isinstance(self.store, PackedRows) else self.store[:0]

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are kept in memory."""
        return self.store.nbytes

    @property
    def noise_budget(self) -> FloatArray:
        """Predicted noise budget in bits (see `noise`), array of the ciphertext's shape."""
        return self.bound[self.index].budget(self.params.n)

    @property
    def place(self) -> str:
        """Where the rows are: "cpu" or "gpu"."""
        return place_of(self.like).name

    def to(self: Self, place: str) -> Self:
        """Return the same ciphertexts in the memory of a place, where operations on them are done.

        Only rows that the index names are copied. Keys move with their own `to`.

        Parameters
        ----------
        place : "cpu", or "gpu": the current one of CuPy

        Raises
        ------
        DeviceError
            If there is no GPU, or no CuPy.
        ExactnessError
            If matrix products are not exact there.
        """
        if self.place == place:
            return self
        kept = self.without_spare_rows()
        return replace(kept, store=moved(kept.rows, place))

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
            store=self.part(used).copy(),
            bound=self.bound[used],
            index=index.reshape(self.shape).astype(np.int64),
            public_seed=None if self.public_seed is None else self.public_seed[used],
            within=self.within_of(used),
        )

    def within_of(self, rows: IntArray) -> Interval | None:
        """Return what the slots of some rows lie within, as a flat array, if it was declared."""
        return None if self.within is None else self.within[rows.reshape(-1)]

    def declared(self: Self, low: int, high: int) -> Self:
        """Return the same ciphertexts with a range: all slots lie within low..high.

        Nobody can check that without the secret key. The owner says so, in `encrypt` or to whoever
        computes; decryption finds out.

        Raises
        ------
        ParameterError, RangeError
            If these are no integers, or do not fit into the slots.
        """
        return replace(self, within=declared(self.params, (low, high), self.bound.shape))

    def modulo(self: Self) -> Self:
        """Return the same ciphertexts without a range: results may wrap around modulo t."""
        return replace(self, within=None)

    def derive(
        self: Self,
        rows: FloatArray,
        bound: Bound,
        shape: tuple[int, ...],
        what: str,
        degree: int | None = None,
        within: Interval | None = None,
    ) -> Self:
        """Return new rows as the result of an operation, for schemes and networks.

        Raises
        ------
        RangeError
            If the slots may leave what they lie within.
        NoiseBudgetExhausted
            If the predicted noise is too large.
        TransparentCiphertextError
            If a row is readable without a key.
        """
        assert self.within is None or within is not None  # every operation knows what it does
        if within is not None:
            check_fits(self.params, within, what)
        self.scheme.check_not_transparent(rows, what)
        bound = bound.capped()  # inside of `noise.unchecked` noise grows without end
        if len(rows):
            n, before = self.params.n, float(self.noise_budget.min(initial=np.inf))
            noise.check_budget(float(bound.budget(n).min()), what, before)
        result = replace(
            self,
            store=rows,
            bound=bound,
            index=np.arange(len(rows), dtype=np.int64).reshape(shape),
            degree=self.degree if degree is None else degree,
            public_seed=None,
            within=within,
        )
        observe(what, result)
        return result

    def without_spare_rows(self: Self) -> Self:
        """Return the same ciphertexts; a copy, if there are rows that the index does not name."""
        return self if len(np.unique(self.index)) == self.store.shape[0] else self.copy()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the rows that the index names, not those beside them."""
        kept = self.without_spare_rows()
        return {**vars(kept), "store": kept.rows}

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
        stores = {(id(part.store), id(part.bound), id(part.within)) for part in parts}
        if len(stores) == 1:  # one store with one declaration; two of them are kept apart
            return first, [part.index for part in parts]
        kept = [part.without_spare_rows() for part in parts]
        starts = np.cumsum([0, *(len(part.rows) for part in kept)])[:-1]
        seeds = [part.public_seed for part in kept if part.public_seed is not None]
        store = replace(
            first,
            store=np.concatenate([part.rows for part in kept]),
            bound=Bound.concatenate([part.bound for part in kept]),
            public_seed=np.concatenate(seeds) if len(seeds) == len(kept) else None,
            within=combined(
                lambda *ranges: Interval.concatenate(ranges), *(part.within for part in kept)
            ),
        )
        return store, [part.index + start for part, start in zip(kept, starts, strict=True)]

    def check_same_keys(self, other: RowArray) -> None:
        """Refuse a ciphertext of another scheme, of other parameters, keys, or memory.

        Raises
        ------
        KeyMismatchError, PlaceError
        """
        if self.scheme.name != other.scheme.name or self.params.digest != other.params.digest:
            raise KeyMismatchError(
                f"{self.scheme.name} {self.params.name} and {other.scheme.name} "
                f"{other.params.name} do not mix; where they differ in the number of primes only, "
                "scheme.switch_modulus(ct, primes) makes them equal (+ - * do it by themselves)"
            )
        if self.key_id != other.key_id:
            raise KeyMismatchError("the ciphertexts are encrypted under different keys")
        if self.place != other.place:
            raise PlaceError(
                f"ciphertexts on the {self.place} and on the {other.place} do not mix: bring both "
                f'to one place, with ct.to("{self.place}")'
            )
