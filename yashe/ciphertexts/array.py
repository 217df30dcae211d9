"""Arrays of ciphertexts that behave like NumPy arrays, whatever the scheme.

A `Ciphertext` is an integer array of any shape, the `index`, whose entries are row numbers in a
store of residues, the `rows`. Everything that only moves ciphertexts around (indexing, reshaping,
transposing) is NumPy's own operation on the index and copies no residue: `yashe.ciphertexts.moves`.
Arithmetic writes new rows, block by block. Sums and products with integers are the same in every
scheme and are here; products of ciphertexts belong to the scheme (`yashe.schemes.base`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from yashe.arithmetic.devices import blocks
from yashe.arithmetic.linear import add_rows, combine, scale_rows
from yashe.arithmetic.residues import FloatArray, IntArray, add_modulo, reduce
from yashe.arithmetic.rings import CoefficientElement, NttElement
from yashe.arithmetic.rns import rescale
from yashe.arithmetic.whole import shown
from yashe.ciphertexts import noise
from yashe.ciphertexts.moves import Moves, dot, numpys
from yashe.ciphertexts.ranges import Interval, combined
from yashe.ciphertexts.rows import RowArray
from yashe.ciphertexts.slots import (
    Plaintext,
    as_integers,
    check_same_slots,
    decode,
    encode_constant,
)
from yashe.errors import (
    FormError,
    OperationError,
    RangeError,
    ShapeError,
    TransparentCiphertextError,
)


class Ciphertext(RowArray):
    """An array of encrypted slot vectors.

    The arithmetic is that of integers modulo t, slot by slot: `+`, `-`, `*` between ciphertexts,
    with integers and integer arrays (one number for all slots of a ciphertext) and with `Plaintext`
    (one number per slot); `ct @ W` and `W @ ct` with an integer matrix; `ct ** 2`; `ct.sum(axis)`.
    What only moves ciphertexts works like in NumPy, as a method or as a function: `ct[...]`,
    `ct.reshape`, `ct.T`, `np.concatenate`, `np.roll`, ... (`yashe.ciphertexts.moves` has the list).
    Results are new objects, and nothing ever changes a ciphertext.

    Arrays broadcast, with one exception: an array of numbers may not have more axes than the array
    of ciphertexts. `x[0] + [1, 2, 3]` would be three ciphertexts, and whoever writes it may mean
    three slots of one.
    """

    def __repr__(self) -> str:
        least = float(self.noise_budget.min()) if self.size else float("inf")
        warning = ", NOISE BUDGET EXHAUSTED" if least < 0 else ""
        found = self.within_of(self.index) if self.size else None
        within = "" if found is None else f", within ({found.low.min()}, {found.high.max()})"
        return (
            f"Ciphertext(shape={self.shape}, {self.scheme.name} {self.params.name}, "
            f"degree={self.degree}, parts={self.store.shape[1]}, "
            f"noise budget >= {least:.1f} bits{warning}{within})"
        )

    # Arithmetic: new rows.

    def __neg__(self) -> Ciphertext:
        return self._multiply_constant(-1)

    def __pos__(self) -> Ciphertext:
        return self

    def __add__(self, other: Any) -> Ciphertext:
        if isinstance(other, Ciphertext):
            return self._add(other, np.add)
        if isinstance(other, Plaintext):
            return self._add_plaintext(other)
        return self._add_constant(other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Ciphertext:
        if isinstance(other, Ciphertext):
            return self._add(other, np.subtract)
        if isinstance(other, Plaintext):
            return self._add_plaintext(-other)
        return self._add_constant(-self._constants(other))

    def __rsub__(self, other: Any) -> Ciphertext:
        if isinstance(other, Plaintext):
            return (-self)._add_plaintext(other)
        return (-self)._add_constant(other)

    def __mul__(self, other: Any) -> Ciphertext:
        if isinstance(other, Ciphertext):
            product: Ciphertext = self.scheme.multiply(self, other)
            return product
        if isinstance(other, Plaintext):
            return self._multiply_plaintext(other)
        return self._multiply_constant(other)

    __rmul__ = __mul__

    def __pow__(self, exponent: Any) -> Ciphertext:
        """Return self ** 1 or self ** 2.

        Raises
        ------
        OperationError
            If the exponent is another one.
        """
        power = as_integers(exponent, "an exponent")
        if power.ndim == 0 and power in (1, 2):
            return self if power == 1 else self * self
        raise OperationError(
            f"x ** 1 and x ** 2 can be done at once, not x ** {shown(exponent)}: multiply step by "
            "step, and relinearize in between, like scheme.relinearize(x ** 2, key) * x"
        )

    def sum(self, axis: Any = None, keepdims: bool = False) -> Ciphertext:
        """Return the sums along some axes, or of all ciphertexts, like numpy.sum.

        Raises
        ------
        TransparentCiphertextError
            If there is nothing to sum: zero needs no ciphertext.
        NoiseBudgetExhausted
        """
        shape = numpys(np.sum, self.index, axis=axis, keepdims=keepdims).shape
        axes = tuple(range(self.ndim)) if axis is None else tuple(np.atleast_1d(axis))
        terms = numpys(np.moveaxis, self.index, axes, range(-len(axes), 0))
        results = math.prod(terms.shape[: self.ndim - len(axes)])
        ones = np.ones((math.prod(terms.shape[self.ndim - len(axes) :]), 1), dtype=np.int64)
        return self._combine(terms.reshape(results, len(ones)), ones, shape, "a sum")

    def mean(self, axis: Any = None, keepdims: bool = False) -> NoReturn:
        """Refuse: a mean is a fraction, and slots hold integers."""
        raise self.refusal(
            "have no mean, as slots hold integers", "decrypt x.sum(axis), divide by the count"
        )

    def dot(self, other: Any) -> Ciphertext:
        """Return self @ other, or self * other for a single number, like numpy.dot."""
        product: Ciphertext = dot(self, other)
        return product

    def __matmul__(self, matrix: Any) -> Ciphertext:
        """Return self @ matrix: (..., K) @ (K, M) -> (..., M), or (..., K) @ (K,) -> (...).

        Raises
        ------
        EncodingError
            If the matrix is not of integers.
        ShapeError
            If the shapes do not fit.
        TransparentCiphertextError
            If an entry of the result depends on no ciphertext.
        NoiseBudgetExhausted
            If the sums would use the budget up.
        """
        weights = self._matrix(matrix)
        if weights.ndim not in (1, 2) or self.shape[-1:] != weights.shape[:1]:
            raise _do_not_fit(self.shape, weights.shape)
        index = self.index.reshape(math.prod(self.shape[:-1]), self.shape[-1])
        shape = (*self.shape[:-1], *weights.shape[1:])
        columns = weights.reshape(len(weights), math.prod(weights.shape[1:]))
        return self._combine(index, columns, shape, "a matrix product")

    def __rmatmul__(self, matrix: Any) -> Ciphertext:
        """Return matrix @ self: (M, K) @ (K,) -> (M,), or (M, K) @ (..., K, L) -> (..., M, L)."""
        weights = self._matrix(matrix)
        if weights.ndim not in (1, 2) or self.shape[-2:][:1] != weights.shape[-1:]:
            raise _do_not_fit(weights.shape, self.shape)
        if self.ndim == 1:
            return self.__matmul__(weights.T)
        product = self.swapaxes(-1, -2).__matmul__(weights.T)
        return product if weights.ndim == 1 else product.swapaxes(-1, -2)

    def _matrix(self, matrix: Any) -> IntArray:
        """Return the weights of a matrix modulo t."""
        if isinstance(matrix, Moves):
            raise OperationError(
                f"a matrix product of ciphertexts with {matrix.plural} is no single operation: "
                "write (x * y).sum(axis)"
            )
        return self._constants(matrix)

    def _combine(
        self, index: IntArray, weights: IntArray, shape: tuple[int, ...], what: str
    ) -> Ciphertext:
        """Return the sums of weights[k, m] times the ciphertext index[p, k], in a shape."""
        if not index.shape[0] * weights.shape[1]:
            none = self.index.ravel()[:0]
            within = self.within_of(none)
            return self.derive(self.rows[:0], self.bound[none], shape, what, within=within)
        if not weights.any(axis=0).all():
            raise TransparentCiphertextError(
                "a result whose weights are all zero depends on no ciphertext: leave it out"
            )
        used = weights.any(axis=1)  # what has weight zero everywhere is not even read
        rows = combine(self.rows, index[:, used], weights[used], self.params.moduli)
        bound = (self.bound[index] @ weights).reshape(-1)
        within = None if self.within is None else (self.within[index] @ weights).reshape(-1)
        return self.derive(rows, bound, shape, what, within=within)

    def _add(self, other: Ciphertext, operation: np.ufunc) -> Ciphertext:
        """Return self + other or self - other; a missing part is a zero."""
        self, other = self.scheme.aligned(self, other)
        if self.degree != other.degree and self.scheme.fixed_parts:
            raise FormError(f"degrees {self.degree} and {other.degree} differ: relinearize first")
        a, b = numpys(np.broadcast_arrays, self.index, other.index)
        rows = add_rows(self.rows, a.ravel(), other.rows, b.ravel(), operation, self.params.moduli)
        bound = (self.bound[a] + other.bound[b]).reshape(-1)
        within = combined(operation, self.within_of(a), other.within_of(b))
        what = "a sum" if operation is np.add else "a difference"
        return self.derive(rows, bound, a.shape, what, max(self.degree, other.degree), within)

    def _add_constant(self, values: Any, in_place: bool = False) -> Ciphertext:
        """Add the same integer to all slots of a ciphertext; in place only where nobody sees it."""
        index, constants = self._with_constants(values)
        flat, added = index.reshape(-1), constants.reshape(-1)
        own = in_place and index.shape == self.shape
        rows = self.rows if own else self.rows[np.asarray(flat, like=self.rows)]
        # To the first coefficient, which is all values.
        columns = slice(None) if self.scheme.ntt_form else slice(0, 1)
        messages = self.params.plaintext_ring.basis.decompose(added)
        residues = self.scheme.embedded(messages, self.factor).T[:, :, None]
        embedded = np.asarray(residues, like=rows)
        for some in blocks(len(rows), 8 * self.params.k * self.params.n, rows):
            add_modulo(rows[some, 0, :, columns], embedded[some], self.params.moduli)
        noisier = self.scheme.plain_addition_bound(self.degree) * (added != 0)
        within = combined(operator.add, self.within_of(flat), added)
        bound = self.bound[flat] + noisier
        return self.derive(rows, bound, index.shape, "adding a constant", within=within)

    def _constants(self, values: Any) -> IntArray:
        """Return integers modulo t; where a range was declared, they must be what they are."""
        constants = encode_constant(self.params, values)
        if self.within is not None and (constants != as_integers(values, "constants")).any():
            raise RangeError(
                f"where a range is declared, constants are those of a slot, +-{self.params.t // 2}:"
                " take a larger t, or say that numbers modulo t are meant: ct.modulo()"
            )
        return constants

    def _with_constants(self, values: Any) -> tuple[IntArray, IntArray]:
        """Return the index and integers modulo t, broadcast; the integers add no axes."""
        constants = self._constants(values)
        ends = zip(self.shape[::-1], constants.shape[::-1], strict=False)
        if constants.ndim > self.ndim or any(a != b and 1 not in (a, b) for a, b in ends):
            raise ShapeError(
                f"numbers of shape {constants.shape} do not broadcast with ciphertexts of shape "
                f"{self.shape}: there is one for each ciphertext. For one per slot write "
                "scheme.encode(numbers), for more ciphertexts np.broadcast_to(x, shape)"
            )
        index, broadcast = np.broadcast_arrays(self.index, constants)
        return index, broadcast

    def affine(self, matrix: Any, constants: Any) -> Ciphertext:
        """Return self @ matrix + constants without a copy in between.

        Raises
        ------
        EncodingError, ShapeError
            If matrix or constants are not integers, or their shapes do not fit.
        TransparentCiphertextError, NoiseBudgetExhausted
            As for a product with a matrix.
        """
        product: Ciphertext = self @ matrix
        return product._add_constant(constants, in_place=True)

    def _add_plaintext(self, other: Plaintext) -> Ciphertext:
        """Add one integer per slot."""
        index, message = self._with_plaintext(other)
        rows = self.rows[np.asarray(index.reshape(-1), like=self.rows)]
        q = self.params.ring
        for row, m in zip(rows, message, strict=True):
            embedded = np.asarray(self.scheme.embedded(m, self.factor), like=rows)
            add_modulo(row[0], self.scheme.rows(CoefficientElement(q, embedded)), q.basis.moduli)
        added = self.scheme.plaintext_addition_bound(message, self.degree)
        bound = self.bound[index.reshape(-1)] + added
        within = self._within_with(other, operator.add, index)
        return self.derive(rows, bound, index.shape, "adding a plaintext", within=within)

    def _multiply_constant(self, values: Any) -> Ciphertext:
        """Multiply all slots of a ciphertext by the same integer."""
        index, weights = self._with_constants(values)
        flat, w = index.reshape(-1), weights.reshape(-1)
        if not w.all():
            raise TransparentCiphertextError(
                "a product with 0 no longer depends on the ciphertext: leave the term out instead"
            )
        rows = scale_rows(self.rows, flat, w, self.params.ring.basis)
        bound = self.bound[flat] * w.astype(np.float64)
        within = combined(operator.mul, self.within_of(flat), w)
        return self.derive(rows, bound, index.shape, "a product with a constant", within=within)

    def _multiply_plaintext(self, other: Plaintext) -> Ciphertext:
        """Multiply slot by slot with integers."""
        index, message = self._with_plaintext(other)
        t_basis, q = other.element.ring.basis, self.params.ring
        rows = np.empty((index.size, *self.rows.shape[1:]), like=self.rows)
        norms = np.empty(index.size)
        for j, (i, m) in enumerate(zip(index.flat, message, strict=True)):
            residues = np.asarray(rescale(m, t_basis, q.basis), like=rows)
            lifted = CoefficientElement(q, residues).ntt()
            product = reduce(self.scheme.values(self.rows[i]).residues * lifted.residues, q.moduli)
            rows[j] = self.scheme.rows(NttElement(q, product))
            norms[j] = noise.canonical_norm(t_basis.compose(m, np.int64))
        bound = self.bound[index.reshape(-1)] * norms
        within = self._within_with(other, operator.mul, index)
        return self.derive(rows, bound, index.shape, "a product with a plaintext", within=within)

    def _within_with(
        self, other: Plaintext, operation: Callable[[Any, Any], Interval], index: IntArray
    ) -> Interval | None:
        """Return what the results of an operation with the slots of a plaintext lie within."""
        if self.within is None:
            return None
        slots = decode(other).astype(object)
        ends = Interval(slots.min(-1), slots.max(-1)).broadcast(index.shape).reshape(-1)
        return operation(self.within[index.reshape(-1)], ends)

    def _with_plaintext(self, other: Plaintext) -> tuple[IntArray, FloatArray]:
        """Return the index broadcast against a plaintext, and its residues, one per entry."""
        check_same_slots(self.params, other.params)
        shape = numpys(np.broadcast_shapes, self.shape, other.shape)
        residues = other.element.residues
        message = np.broadcast_to(residues, (*shape, *residues.shape[-2:]))
        index = np.broadcast_to(self.index, shape)
        return index, message.reshape(index.size, *residues.shape[-2:])


def _do_not_fit(left: tuple[int, ...], right: tuple[int, ...]) -> ShapeError:
    """Return the error for a product of these shapes, as the user has written it."""
    return ShapeError(
        f"shapes {left} @ {right} do not fit: a matrix has one or two axes, and as many entries in "
        "a row or column as there are ciphertexts to be summed"
    )
