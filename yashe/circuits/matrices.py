"""A matrix times a vector that lies in the slots of one ciphertext.

Slots meet by rotation only. Let x fill both rows, repeated with a period of d slots, so that slot i
holds x_(i mod d), and rotated by k steps x_(i+k mod d). Then with the *diagonals* of M,

    M x = sum_k diagonal_k * rotate(x, k),        diagonal_k[i] = M[i, i + k mod d],

slot by slot (Halevi and Shoup, ePrint 2014/106): as many rotations and plaintext products as M has
diagonals. Two ideas make it fewer rotations.

*Baby steps and giant steps.* Write k = B j + i with i < B. A rotation by B j can come last,

    M x = sum_j rotate( sum_i rotate(diagonal_(Bj+i), -B j) * rotate(x, i), B j),

where the plaintexts are rotated for nothing. The B baby steps are hoisted, and about sqrt(d) giant
steps remain (Halevi and Shoup, ePrint 2018/244).

*Blocks.* A matrix with m < d rows has m diagonals only, and slot i gets a part of the sum for row i
mod m. Adding up the d/m blocks takes log2(d/m) rotations more (Juvekar, Vaikuntanathan and
Chandrakasan, ePrint 2018/073, "hybrid").

m and d are filled up to powers of two. What comes out has period m in both rows: the next matrix
may take it as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import RotationKeys
from yashe.ciphertexts.slots import Plaintext, check_integers
from yashe.errors import ShapeError, TransparentCiphertextError
from yashe.schemes.base import check_scheme
from yashe.schemes.rotations import RotatingScheme


class SlotMatrix:
    """M, cut into diagonals that are encoded once.

    Parameters
    ----------
    scheme : BFV, BGV or YASHE
    matrix : integers, shape (m, d), m and d at most n/2

    Attributes
    ----------
    rotations : the steps that there have to be keys for, `scheme.keygen(rotations=m.rotations)`
    baby : B, the number of baby steps, the first of which is none
    giants : the giant steps, and for each of them its plaintexts and which baby steps they take
    folds : the rotations that add up blocks

    Raises
    ------
    ShapeError, EncodingError
        If it is no matrix of integers that fit into slots, or too large for a row.
    TransparentCiphertextError
        If all of it is zero.

    Examples
    --------
    >>> from yashe.parameters.sets import INSECURE_TOY
    >>> from yashe.schemes.bgv import BGV
    >>> scheme = BGV(INSECURE_TOY)
    >>> matrix = SlotMatrix(scheme, [[1, 2, 3, 4], [5, 6, 7, 8]])
    >>> keys = scheme.keygen(rotations=matrix.rotations)
    >>> x = scheme.encrypt(matrix.spread([1, 0, -1, 2]), keys.secret)
    >>> scheme.decrypt(matrix(x, keys.rotations), keys.secret)[:2]
    array([ 6, 14])
    """

    def __init__(self, scheme: RotatingScheme, matrix: Any) -> None:
        check_scheme(scheme)
        n = scheme.params.n
        self.scheme, self.matrix = scheme, check_integers(matrix, "the entries of a matrix")
        if self.matrix.ndim != 2 or not self.matrix.size > 0 or max(self.matrix.shape) > n // 2:
            raise ShapeError(
                f"a matrix in slots has 1 to {n // 2} rows and columns, not {self.matrix.shape}"
            )
        if not self.matrix.any():
            raise TransparentCiphertextError("a product with a zero matrix depends on no slot")
        self.outputs, self.inputs = (power_of_two(x) for x in self.matrix.shape)
        self.baby, giants, self.folds = steps_of(*self.matrix.shape)
        padded = np.zeros((self.outputs, self.inputs), dtype=np.int64)
        padded[: self.matrix.shape[0], : self.matrix.shape[1]] = self.matrix
        self.giants: list[tuple[int, IntArray, Plaintext]] = []
        for step in giants:
            weights = np.stack([self._diagonal(padded, step + i, step) for i in range(self.baby)])
            used = np.flatnonzero(weights.any(axis=-1))
            if len(used):
                self.giants.append((step, used, scheme.encode(weights[used])))
        steps = {*range(self.baby), *(step for step, _, _ in self.giants), *self.folds}
        self.rotations = tuple(sorted(steps - {0}))

    def _diagonal(self, padded: IntArray, k: int, turned: int) -> IntArray:
        """Return the k-th diagonal in all n slots, turned to the right."""
        column = np.arange(self.scheme.params.n // 2, dtype=np.int64)
        row = np.roll(padded[column % self.outputs, (column + k) % self.inputs], turned)
        return np.concatenate([row, row])

    def __repr__(self) -> str:
        products = sum(len(used) for _, used, _ in self.giants)
        giant = sum(step > 0 for step, _, _ in self.giants)
        m, d = self.matrix.shape
        return (
            f"SlotMatrix({m} x {d}: {products} products with plaintexts, {self.baby - 1} baby and "
            f"{giant} giant steps, {len(self.folds)} to add up blocks; {len(self.rotations)} keys)"
        )

    def spread(self, vectors: Any) -> IntArray:
        """Return slot values for `scheme.encrypt`: vectors repeated through both rows.

        Parameters
        ----------
        vectors : integers, shape (..., at most as many as M has columns)

        Returns
        -------
        int64 array, shape (..., n)
        """
        x = check_integers(vectors, "vectors")
        if x.ndim == 0 or x.shape[-1] > self.matrix.shape[1]:
            raise ShapeError(
                f"vectors of at most {self.matrix.shape[1]} numbers were required, not of shape "
                f"{x.shape}"
            )
        padded = np.zeros((*x.shape[:-1], self.inputs), dtype=np.int64)
        padded[..., : x.shape[-1]] = x
        return np.tile(padded, self.scheme.params.n // self.inputs)

    def __call__(self, ct: Ciphertext, keys: RotationKeys) -> Ciphertext:
        """Return M x for every ciphertext of an array: slot i holds (M x)_(i mod m).

        Parameters
        ----------
        ct : Ciphertext of any shape, degree 1, whose slots are those of `spread`
        keys : RotationKeys for `rotations`

        Raises
        ------
        MissingKeyError, FormError, KeyMismatchError, NoiseBudgetExhausted
        """
        self.scheme.check_own(ct)
        scheme, total = type(self.scheme)(ct.params), None  # with the q of the ciphertexts
        shape = (-1, *(1 for _ in ct.shape))
        babies = ct[None]
        if self.baby > 1:
            moved = scheme.rotations(ct, range(1, self.baby), keys)
            babies = Ciphertext.concatenate([babies, moved])
        for step, used, weights in self.giants:
            terms = babies[used] * weights.reshape(shape)
            moved = scheme.rotate(terms.sum(axis=0), step, keys)
            total = moved if total is None else total + moved
        assert total is not None  # M is not zero
        for step in self.folds:
            total = total + scheme.rotate(total, step, keys)
        return total


def power_of_two(size: int) -> int:
    """Return the smallest power of two that is not smaller."""
    return 1 << (size - 1).bit_length()


def steps_of(m: int, d: int) -> tuple[int, range, list[int]]:
    """Return B, the giant steps and the rotations that add up blocks, for a matrix of this shape.

    Examples
    --------
    >>> steps_of(10, 64)
    (4, range(0, 16, 4), [16, 32])
    """
    outputs, inputs = power_of_two(m), power_of_two(d)
    diagonals, blocks = min(outputs, inputs), max(inputs // outputs, 1)
    # A hoisted baby step is about half the work of a giant one: B is near sqrt(2 diagonals).
    baby = min(1 << diagonals.bit_length() // 2, diagonals)
    folds = [outputs << i for i in range(blocks.bit_length() - 1)]
    return baby, range(0, diagonals, baby), folds
