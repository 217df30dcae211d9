"""Arrays of ciphertexts that behave like NumPy arrays, whatever the scheme.

A `Ciphertext` is an integer array of any shape, the `index`, whose entries are row numbers in a
store of residues, the `rows`. Everything that only moves ciphertexts around (indexing, reshaping,
transposing) is NumPy's own operation on the index and copies no residue. Arithmetic writes new
rows, block by block. Sums and products with integers are the same in every scheme and are here;
products of ciphertexts belong to the scheme (`yashe.scheme`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from yashe import noise
from yashe.arithmetic import Arithmetic
from yashe.encoding import Plaintext, check_integers, encode_constant
from yashe.errors import (
    FormError,
    KeyMismatchError,
    ParameterError,
    TransparentCiphertextError,
)
from yashe.linear import add_rows, check_not_transparent, combine, scale_rows
from yashe.noise import Bound
from yashe.params import Params
from yashe.residues import FloatArray, IntArray, reduce
from yashe.ring import CoefficientElement, NttElement
from yashe.rns import rescale
from yashe.sampling import SeedArray
from yashe.trace import observe


@dataclass(frozen=True, eq=False)
class Ciphertext:
    """An array of encrypted slot vectors.

    The arithmetic is that of integers modulo t, slot by slot: `+`, `-`, `*` between ciphertexts,
    with integers and integer arrays (one number for all slots of a ciphertext) and with `Plaintext`
    (one number per slot); `ct @ W` and `W @ ct` with an integer matrix. Results are new objects.

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

    # NumPy leaves `array + ct` and `array @ ct` to the methods below.
    __array_ufunc__ = None

    @property
    def params(self) -> Params:
        """Parameters of the scheme."""
        return self.scheme.params

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of ciphertexts; each holds n slots."""
        return self.index.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.index.ndim

    @property
    def size(self) -> int:
        """Number of ciphertexts."""
        return self.index.size

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are kept in memory."""
        return self.rows.nbytes

    @property
    def noise_budget(self) -> FloatArray:
        """Predicted noise budget in bits (see `yashe.noise`), array of the ciphertext's shape."""
        return self.bound[self.index].budget(self.params.n)

    def __repr__(self) -> str:
        least = float(self.noise_budget.min()) if self.size else float("inf")
        warning = ", NOISE BUDGET EXHAUSTED" if least < 0 else ""
        return (
            f"Ciphertext(shape={self.shape}, {self.scheme.name} {self.params.name}, "
            f"degree={self.degree}, parts={self.rows.shape[1]}, "
            f"noise budget >= {least:.1f} bits{warning})"
        )

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Ciphertext]:
        return (self[i] for i in range(len(self)))

    # Moving ciphertexts around: NumPy on the index.

    def __getitem__(self, key: Any) -> Ciphertext:
        return replace(self, index=np.asarray(self.index[key]))

    def reshape(self, *shape: Any) -> Ciphertext:
        """Return the same ciphertexts in another shape, like numpy.ndarray.reshape."""
        return replace(self, index=self.index.reshape(*shape))

    def transpose(self, *axes: int) -> Ciphertext:
        """Return the same ciphertexts with permuted axes, like numpy.ndarray.transpose."""
        return replace(self, index=self.index.transpose(*axes))

    @staticmethod
    def concatenate(parts: Sequence[Ciphertext], axis: int = 0) -> Ciphertext:
        """Join arrays of ciphertexts along an axis, like numpy.concatenate.

        Raises
        ------
        KeyMismatchError, FormError
            If they belong to different keys, parameters or schemes, or differ in degree.
        """
        first, *others = parts
        for other in others:
            first.check_same_keys(other)
            if other.degree != first.degree:
                raise FormError(f"degrees {first.degree} and {other.degree}: relinearize first")
            if other.factor != first.factor:
                raise FormError("the ciphertexts have different factors: see scheme.aligned")
        seeds = [part.public_seed for part in parts if part.public_seed is not None]
        starts = np.cumsum([0, *(len(part.rows) for part in parts)])[:-1]
        indices = [part.index + start for part, start in zip(parts, starts, strict=True)]
        return replace(
            first,
            rows=np.concatenate([part.rows for part in parts]),
            bound=Bound.concatenate([part.bound for part in parts]),
            index=np.concatenate(indices, axis=axis),
            public_seed=np.concatenate(seeds) if len(seeds) == len(parts) else None,
        )

    # Arithmetic: new rows.

    def __neg__(self) -> Ciphertext:
        return self._multiply_constant(-1)

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
            return self._add_plaintext(Plaintext(other.params, -other.element))
        return self._add_constant(-encode_constant(self.params, other))

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

    def __matmul__(self, matrix: Any) -> Ciphertext:
        """Return self @ matrix: (..., K) @ (K, M) -> (..., M), or (..., K) @ (K,) -> (...).

        Raises
        ------
        EncodingError
            If the matrix is not of integers.
        TransparentCiphertextError
            If an entry of the result depends on no ciphertext.
        NoiseBudgetExhausted
            If the sums would use the budget up.
        """
        weights = encode_constant(self.params, matrix)
        if weights.ndim == 1:
            return (self @ weights[:, None])[..., 0]
        if weights.ndim != 2 or self.ndim == 0 or self.shape[-1] != len(weights):
            raise ParameterError(f"shapes {self.shape} @ {weights.shape} do not fit")
        index = self.index.reshape(-1, self.shape[-1])
        if not weights.any(axis=0).all():
            raise TransparentCiphertextError(
                "a result whose weights are all zero depends on no ciphertext: leave it out"
            )
        used = weights.any(axis=1)  # what has weight zero everywhere is not even read
        rows = combine(self.rows, index[:, used], weights[used], self.params.moduli)
        bound = self.bound[index] @ weights
        out = (*self.shape[:-1], weights.shape[1])
        return self.derive(rows, bound.reshape(-1), out, "a matrix product")

    def __rmatmul__(self, matrix: Any) -> Ciphertext:
        """Return matrix @ self: (M, K) @ (K, ...) with NumPy's rules for matmul."""
        weights = check_integers(matrix, "matrix entries")
        if weights.ndim > 2:
            raise ParameterError(f"shapes {weights.shape} @ {self.shape} do not fit")
        moved = self if self.ndim <= 1 else self.transpose(*_swapped(self.ndim))
        product: Ciphertext = moved @ weights.T
        if self.ndim <= 1 or weights.ndim == 1:
            return product
        return product.transpose(*_swapped(self.ndim))

    def check_same_keys(self, other: Ciphertext) -> None:
        """Refuse a ciphertext of another scheme, of other parameters, or under other keys.

        Raises
        ------
        KeyMismatchError
        """
        if self.scheme.name != other.scheme.name or self.params.digest != other.params.digest:
            raise KeyMismatchError(
                f"{self.scheme.name} {self.params.name} and {other.scheme.name} "
                f"{other.params.name} do not mix"
            )
        if self.key_id != other.key_id:
            raise KeyMismatchError("the ciphertexts are encrypted under different keys")

    def derive(
        self,
        rows: FloatArray,
        bound: Bound,
        shape: tuple[int, ...],
        what: str,
        degree: int | None = None,
    ) -> Ciphertext:
        """Return new rows as the result of an operation, for schemes and networks.

        Raises
        ------
        NoiseBudgetExhausted
            If the predicted noise is too large.
        TransparentCiphertextError
            If a row is readable without a key.
        """
        check_not_transparent(rows, self.scheme.first_secret_part, what)
        bound = bound.capped()  # inside of `noise.unchecked` noise grows without end
        if len(rows):
            n, before = self.params.n, float(self.noise_budget.min(initial=np.inf))
            noise.check_budget(float(bound.budget(n).min()), what, before)
        result = replace(
            self,
            rows=rows,
            bound=bound,
            index=np.arange(len(rows), dtype=np.int64).reshape(shape),
            degree=self.degree if degree is None else degree,
            public_seed=None,
        )
        observe(what, result)
        return result

    def _add(self, other: Ciphertext, operation: np.ufunc) -> Ciphertext:
        """Return self + other or self - other; a missing part is a zero."""
        self, other = self.scheme.aligned(self, other)
        if self.degree != other.degree and self.scheme.fixed_parts:
            raise FormError(f"degrees {self.degree} and {other.degree} differ: relinearize first")
        a, b = np.broadcast_arrays(self.index, other.index)
        rows = add_rows(self.rows, a.ravel(), other.rows, b.ravel(), operation, self.params.moduli)
        return self.derive(
            rows,
            (self.bound[a] + other.bound[b]).reshape(-1),
            a.shape,
            "a sum" if operation is np.add else "a difference",
            max(self.degree, other.degree),
        )

    def _add_constant(self, values: Any) -> Ciphertext:
        """Add the same integer to all slots of a ciphertext."""
        index, constants = np.broadcast_arrays(self.index, encode_constant(self.params, values))
        flat = index.reshape(-1)
        rows = self.rows[flat]
        self._add_constants_to(rows, constants)
        added = self.scheme.plain_addition_bound(self.degree) * (constants.reshape(-1) != 0)
        return self.derive(rows, self.bound[flat] + added, index.shape, "adding a constant")

    def _add_constants_to(self, rows: FloatArray, constants: IntArray) -> None:
        """Add one constant to each row in place: to its first coefficient, which is all values."""
        columns = slice(None) if self.scheme.ntt_form else slice(0, 1)
        messages = self.params.plaintext_ring.basis.decompose(constants.reshape(-1))
        for row, embedded in zip(rows, self.scheme.embedded(messages, self.factor).T, strict=True):
            part = row[0, :, columns]
            part[...] = reduce(part + embedded[:, None], self.params.ring.moduli)

    def affine(self, matrix: Any, constants: Any) -> Ciphertext:
        """Return self @ matrix + constants without a copy in between.

        Raises
        ------
        EncodingError, ParameterError
            If matrix or constants are not integers, or their shapes do not fit.
        TransparentCiphertextError, NoiseBudgetExhausted
            As for a product with a matrix.
        """
        product: Ciphertext = self @ matrix
        values = encode_constant(self.params, constants)
        try:
            values = np.broadcast_to(values, product.shape)
        except ValueError as error:
            raise ParameterError(
                f"constants of shape {values.shape} do not fit a product of shape {product.shape}"
            ) from error
        # The product's rows are new, one for each entry in its order, and known to nobody else.
        product._add_constants_to(product.rows, values)
        added = self.scheme.plain_addition_bound(self.degree) * (values.reshape(-1) != 0)
        bound = product.bound + added
        return product.derive(product.rows, bound, product.shape, "adding a constant")

    def _add_plaintext(self, other: Plaintext) -> Ciphertext:
        """Add one integer per slot."""
        index, message = self._with_plaintext(other)
        rows = self.rows[index.reshape(-1)]
        q = self.params.ring
        for row, m in zip(rows, message, strict=True):
            embedded = CoefficientElement(q, self.scheme.embedded(m, self.factor))
            row[0] = reduce(row[0] + self.scheme.rows(embedded), q.moduli)
        added = self.scheme.plaintext_addition_bound(message, self.degree)
        bound = self.bound[index.reshape(-1)] + added
        return self.derive(rows, bound, index.shape, "adding a plaintext")

    def _multiply_constant(self, values: Any) -> Ciphertext:
        """Multiply all slots of a ciphertext by the same integer."""
        index, weights = np.broadcast_arrays(self.index, encode_constant(self.params, values))
        flat, w = index.reshape(-1), weights.reshape(-1)
        if not w.all():
            raise TransparentCiphertextError(
                "a product with 0 no longer depends on the ciphertext: leave the term out instead"
            )
        rows = scale_rows(self.rows, flat, w, self.params.ring.basis)
        return self.derive(rows, self.bound[flat] * w, index.shape, "a product with a constant")

    def _multiply_plaintext(self, other: Plaintext) -> Ciphertext:
        """Multiply slot by slot with integers."""
        index, message = self._with_plaintext(other)
        t_basis, q = other.element.ring.basis, self.params.ring
        rows = np.empty((index.size, *self.rows.shape[1:]))
        norms = np.empty(index.size)
        for j, (i, m) in enumerate(zip(index.flat, message, strict=True)):
            lifted = CoefficientElement(q, rescale(m, t_basis, q.basis)).ntt()
            product = reduce(self.scheme.values(self.rows[i]).residues * lifted.residues, q.moduli)
            rows[j] = self.scheme.rows(NttElement(q, product))
            norms[j] = noise.canonical_norm(t_basis.compose_int64(m))
        bound = self.bound[index.reshape(-1)] * norms
        return self.derive(rows, bound, index.shape, "a product with a plaintext")

    def _with_plaintext(self, other: Plaintext) -> tuple[IntArray, FloatArray]:
        """Return the index broadcast against a plaintext, and its residues, one per entry."""
        if other.params.digest != self.params.digest:
            raise KeyMismatchError(
                f"plaintext for {other.params.name}, ciphertext for {self.params.name}"
            )
        shape = np.broadcast_shapes(self.shape, other.shape)
        residues = other.element.residues
        message = np.broadcast_to(residues, (*shape, *residues.shape[-2:]))
        index = np.broadcast_to(self.index, shape)
        return index, message.reshape(index.size, *residues.shape[-2:])


def _swapped(ndim: int) -> tuple[int, ...]:
    """Return the axes with the last two exchanged."""
    return (*range(ndim - 2), ndim - 1, ndim - 2)
