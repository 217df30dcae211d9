"""Exact linear combinations of residue rows: the matrix product behind every linear layer.

A row is what one ciphertext consists of, residues of shape (parts, k, n). A linear combination with
integer weights acts on every residue alike, so all outputs of a layer are one matrix product,

    out[p, m] = sum_j weights[j, m] rows[index[p, j]],

carried out for one prime and a few columns at a time, so that results are reduced while they are in
the cache. Small weights need a single product; weights as large as the primes are cut into chunks
whose sums stay below 2^53.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from yashe.errors import TransparentCiphertextError
from yashe.parallel import for_each
from yashe.residues import EXACT_LIMIT, FloatArray, IntArray, blocks, bound, column, reduce_inplace
from yashe.rns import RnsBasis


class WeightedSum:
    """Sums weights^T x modulo one prime, prepared for many x: exact, reduced as rarely as possible.

    Parameters
    ----------
    weights : int64 array, shape (K, M), absolute values below 2^62
    p : odd prime below 2^24
    largest : bound of |x|

    Attributes
    ----------
    exact : whether a single matrix product does, because no sum can exceed 2^53
    """

    def __init__(self, weights: IntArray, p: int, largest: int) -> None:
        if np.abs(weights).max(initial=0) > p // 2:
            weights = (weights + p // 2) % p - p // 2
        self.p, self._weights = p, np.ascontiguousarray(weights.T, dtype=np.float64)
        limit = EXACT_LIMIT - 2 * p  # what has been summed and reduced before is below p
        self.exact = np.abs(self._weights).sum(axis=1).max(initial=0.0) * largest <= limit
        terms = int(limit // (largest * max(1.0, np.abs(self._weights).max(initial=0))))
        self._step = len(weights) if self.exact else max(1, terms)

    def __call__(
        self, x: FloatArray, out: FloatArray | None = None, offset: FloatArray | None = None
    ) -> FloatArray:
        """Return the sums of x, shape (..., K, width), as centred residues (..., M, width).

        Parameters
        ----------
        x : float64 array of integers, |x| <= largest
        out : where to write them, or None for new memory
        offset : centred residues to add, shape (M, 1)
        """
        w, step, inverse = self._weights, self._step, 1.0 / self.p
        y = np.matmul(w[:, :step], x[..., :step, :], out=out)
        if offset is not None:
            y += offset
        scratch = np.empty_like(y)
        reduce_inplace(y, self.p, inverse, scratch)
        for start in range(step, w.shape[1], step):
            y += np.matmul(w[:, start : start + step], x[..., start : start + step, :], out=scratch)
            reduce_inplace(y, self.p, inverse, scratch)
        return y


def combine(
    rows: FloatArray, index: IntArray, weights: IntArray, moduli: tuple[int, ...]
) -> FloatArray:
    """Return the linear combinations of the module docstring.

    Parameters
    ----------
    rows : float64 array, shape (N, parts, k, n), centred residues
    index : int64 array, shape (P, K), entries in [0, N)
    weights : int64 array, shape (K, M), absolute values below 2^62
    moduli : the k primes

    Returns
    -------
    float64 array, shape (P * M, parts, k, n), centred residues
    """
    (positions, terms), results = index.shape, weights.shape[1]
    _, parts, k, n = rows.shape
    out = np.empty((positions, results, parts, k, n))

    def one_prime_of_one_part(task: tuple[int, int]) -> None:
        i, part = task
        sums = WeightedSum(weights, moduli[i], bound(moduli[i]))
        for columns in blocks(n, 8 * (2 * results + terms)):
            for position, taps in enumerate(index):
                out[position, :, part, i, columns] = sums(rows[taps, part, i, columns])

    for_each(one_prime_of_one_part, product(range(k), range(parts)))
    return out.reshape(positions * results, parts, k, n)


def add_rows(
    a: FloatArray,
    index_a: IntArray,
    b: FloatArray,
    index_b: IntArray,
    operation: np.ufunc,
    moduli: tuple[int, ...],
) -> FloatArray:
    """Return operation(a[index_a], b[index_b]) reduced, for np.add or np.subtract.

    Parameters
    ----------
    a, b : float64 arrays, shapes (N, parts, k, n), centred residues; a missing part is zero
    index_a, index_b : int64 arrays, shape (R,)

    Returns
    -------
    float64 array, shape (R, most parts, k, n), centred residues
    """
    parts_a, parts_b = a.shape[1], b.shape[1]
    out = np.zeros((len(index_a), max(parts_a, parts_b), *a.shape[2:]))
    p = column(moduli)

    def add_one(j: int) -> None:
        out[j, :parts_a] = a[index_a[j]]
        operation(out[j, :parts_b], b[index_b[j]], out=out[j, :parts_b])
        reduce_inplace(out[j], p, 1.0 / p, np.empty_like(out[j]))

    for_each(add_one, range(len(out)))
    return out


def scale_rows(rows: FloatArray, index: IntArray, factors: IntArray, basis: RnsBasis) -> FloatArray:
    """Return factors[j] rows[index[j]] reduced; index and factors int64 arrays of shape (R,)."""
    residues, p = basis.decompose(factors), column(basis.moduli)  # (k, R)
    out = np.empty((len(index), *rows.shape[1:]))

    def scale_one(j: int) -> None:
        np.multiply(rows[index[j]], residues[:, j, None], out=out[j])
        reduce_inplace(out[j], p, 1.0 / p, np.empty_like(out[j]))

    for_each(scale_one, range(len(out)))
    return out


class RunningSums:
    """Sums of products with integers that grow tile by tile, and are reduced once at the end.

    `add` computes total += weights^T rows without reducing: a sum of w residues is at most
    (sum |w|) bound(p), and only when the total could reach 2^53 it is reduced in between.

    Parameters
    ----------
    results : number M of sums
    shape : (parts, k, n) of a row
    moduli : the k primes
    """

    def __init__(self, results: int, shape: tuple[int, int, int], moduli: tuple[int, ...]) -> None:
        self.total = np.zeros((results, *shape))
        self.moduli = moduli
        self._largest = 0  # bound of |total|

    def add(self, rows: FloatArray, weights: IntArray) -> None:
        """Add weights^T rows; rows (K, parts, k, n) centred residues, weights int64 (K, M)."""
        # In float64 large weights do not overflow; the limit below has room for its rounding.
        sizes = np.abs(weights).sum(axis=0, dtype=np.float64)
        largest_sum = int(sizes.max()) * bound(max(self.moduli))
        if largest_sum >= EXACT_LIMIT // 2:
            every = np.arange(len(rows), dtype=np.int64)[None]
            rows, weights = (
                combine(rows, every, weights, self.moduli),
                np.eye(weights.shape[1], dtype=np.int64),
            )
            largest_sum = bound(max(self.moduli))
        if self._largest + largest_sum >= EXACT_LIMIT - max(self.moduli):
            self.reduce()
        self._largest += largest_sum
        w = np.ascontiguousarray(weights.T, dtype=np.float64)
        _, parts, k, _ = rows.shape

        def one_prime_of_one_part(task: tuple[int, int]) -> None:
            i, part = task
            self.total[:, part, i] += w @ rows[:, part, i]

        for_each(one_prime_of_one_part, product(range(k), range(parts)))

    def reduce(self) -> FloatArray:
        """Reduce the total in place to centred residues, and return it."""
        p = column(self.moduli)

        def one_row(row: FloatArray) -> None:
            for part in row:
                reduce_inplace(part, p, 1.0 / p, np.empty_like(part))

        for_each(one_row, self.total)
        self._largest = bound(max(self.moduli))
        return self.total


def check_not_transparent(rows: FloatArray, first: int, what: str) -> None:
    """Refuse rows in which all parts that need the secret are zero.

    Such a "ciphertext" shows its message to everybody. The first few residues of an honest one are
    uniform, so that they are all zero only once in 2^384 times; only then the rest is looked at.
    """
    suspects = ~rows[:, first:, 0, :16].any(axis=(1, 2))
    for j in np.flatnonzero(suspects):
        if not rows[j, first:].any():
            raise TransparentCiphertextError(
                f"{what} no longer depends on any ciphertext: anybody could read the result; "
                "compute it in the clear"
            )
