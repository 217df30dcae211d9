"""Exact linear combinations of residue rows: the matrix product behind every linear layer.

A row is what one ciphertext consists of, residues of shape (parts, k, n). A linear combination with
integer weights acts on every residue alike, so all outputs of a layer are one matrix product,

    out[p, m] = sum_j weights[j, m] rows[index[p, j]],

carried out for one prime and a few columns at a time, so that results are reduced while they are in
the cache. Weights may be any int64: they count modulo the prime. Small ones need a single product;
weights as large as the primes are cut into chunks whose sums stay below 2^53.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from yashe.arithmetic.devices import blocks, by_place, near, take
from yashe.arithmetic.parallel import for_each, for_each_group
from yashe.arithmetic.residues import (
    EXACT_LIMIT,
    FloatArray,
    IntArray,
    bound,
    column,
    multiply_modulo,
    reduce,
    reduce_modulo,
)
from yashe.arithmetic.rns import RnsBasis
from yashe.errors import ExactnessError, ParameterError

TRIED = 4  # numbers of pieces into which a sum is cut


class WeightedSum:
    """Sums weights^T x modulo primes, prepared for many x: exact, reduced as rarely as possible.

    Where a single matrix product could exceed 2^53, the sum is cut into pieces, and after each of
    them what has been summed is reduced. If that would be more work than to reduce x first, x is
    reduced first.

    Parameters
    ----------
    weights : int64 array, shape (K, M)
    moduli : odd primes below 2^24: one, or several modulo which the weights are the same
    largest : bound of |x|, at most 2^53 - p

    Attributes
    ----------
    exact : whether a single matrix product does, because no sum can exceed 2^53

    Raises
    ------
    ParameterError
        If p is no odd number below 2^24, or the weights are no matrix of integers, or not the same
        modulo all primes.
    ExactnessError
        If x is too large to be reduced.
    """

    def __init__(self, weights: IntArray, moduli: tuple[int, ...], largest: int) -> None:
        if weights.ndim != 2:
            raise ParameterError(f"weights are a matrix (K, M), not of shape {weights.shape}")
        p = max(moduli)
        residues = RnsBasis(moduli).decompose(weights)
        centred = residues[:, 0]
        if (residues != centred[:, None]).any():
            raise ParameterError(f"weights beyond +-{min(moduli) // 2} differ modulo {moduli}")
        if not 0 <= largest <= EXACT_LIMIT - p:
            raise ExactnessError(
                f"numbers up to {largest} cannot be reduced modulo {p} without losing bits: "
                f"reduce them before, below 2^53 - {p}"
            )
        self.moduli, self._weights = moduli, np.ascontiguousarray(centred.T)
        limit = EXACT_LIMIT - 2 * p  # what has been summed and reduced before is below p
        sizes, (terms, results) = np.abs(centred), weights.shape
        self._step = piece(sizes, limit // max(1, largest))
        self.exact = self._step >= terms
        # In pieces, so many sums are reduced; else all of x is, and then sums of residues.
        many = self._step == 0 or -(-terms // self._step) * results > terms + results
        self._reduces_first = many and largest > bound(min(moduli))
        if self._reduces_first:
            # A residue times a weight is below 2^46: pieces have 127 terms or more.
            self._step = piece(sizes, limit // bound(p))

    def __call__(
        self, x: FloatArray, out: FloatArray | None = None, offset: FloatArray | None = None
    ) -> FloatArray:
        """Return the sums of x, shape (..., K, width), as centred residues (..., M, width).

        Parameters
        ----------
        x : float64 array of integers, |x| <= largest; of several primes one after the other
        out : where to write them, or None for new memory
        offset : centred residues to add, shape (M, number of primes, 1), kept by somebody
        """
        w, offset = (near(constant, x) for constant in (self._weights, offset))
        step, y = self._step, out
        if self._reduces_first:
            x = reduce(self._by_prime(x), column(self.moduli)).reshape(x.shape)
        if y is None:
            y = np.empty((*x.shape[:-2], len(w), x.shape[-1]), like=x)
        np.matmul(w[:, :step], x[..., :step, :], out=y)
        rows = self._by_prime(y)
        if offset is not None:
            rows += offset
        scratch = np.empty(y.shape, like=x)
        reduce_modulo(rows, self.moduli, self._by_prime(scratch))
        for start in range(step, w.shape[1], step):
            y += np.matmul(w[:, start : start + step], x[..., start : start + step, :], out=scratch)
            reduce_modulo(rows, self.moduli, self._by_prime(scratch))
        return y

    def _by_prime(self, x: FloatArray) -> FloatArray:
        """Return the same memory with an axis for the primes."""
        return x.reshape(*x.shape[:-1], len(self.moduli), x.shape[-1] // len(self.moduli))


def piece(sizes: IntArray, most: int) -> int:
    """Return how many rows a piece can have so that no sum in it is too large.

    A few numbers of equal pieces are tried, from the fewest that the sums allow on. What is always
    right is a piece of so many rows as if all sizes were the largest.

    Parameters
    ----------
    sizes : |weights|, shape (K, M)
    most : what the sizes of any column may add up to in a piece

    Returns
    -------
    From 1 on, or 0 if a single size is larger than that.
    """
    terms, largest = len(sizes), int(sizes.max(initial=0))
    if largest == 0:
        return max(1, terms)
    if largest > most:
        return 0
    fewest = -(-int(sizes.sum(axis=0).max()) // most)
    for pieces in range(fewest, fewest + TRIED):
        step = -(-terms // pieces)
        if np.add.reduceat(sizes, range(0, terms, step)).max() <= most:
            return step
    return most // largest


@by_place
def combine(
    rows: FloatArray, index: IntArray, weights: IntArray, moduli: tuple[int, ...]
) -> FloatArray:
    """Return the linear combinations of the module docstring.

    Parameters
    ----------
    rows : float64 array, shape (N, parts, k, n), centred residues
    index : int64 array, shape (P, K), entries in [0, N)
    weights : int64 array, shape (K, M)
    moduli : the k primes

    Returns
    -------
    float64 array, shape (P * M, parts, k, n), centred residues
    """
    (positions, terms), results = index.shape, weights.shape[1]
    _, parts, k, n = rows.shape
    out = np.empty((positions, results, parts, k, n), like=rows)

    def one_prime_of_one_part(task: tuple[int, int]) -> None:
        i, part = task
        sums = WeightedSum(weights, moduli[i : i + 1], bound(moduli[i]))
        for columns in blocks(n, 8 * (2 * results + terms), rows):
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
    out = np.zeros((len(index_a), max(parts_a, parts_b), *a.shape[2:]), like=a)

    def add_some(some: slice) -> None:
        out[some, :parts_a] = take(a, index_a[some])
        first = out[some, :parts_b]
        operation(first, take(b, index_b[some]), out=first)
        reduce_modulo(out[some], moduli)

    for_each_group(add_some, len(out), out, group=1)
    return out


def scale_rows(rows: FloatArray, index: IntArray, factors: IntArray, basis: RnsBasis) -> FloatArray:
    """Return factors[j] rows[index[j]] reduced; index and factors int64 arrays of shape (R,)."""
    residues = np.asarray(basis.decompose(factors).T[:, None, :, None], like=rows)  # (R, 1, k, 1)
    out = np.empty((len(index), *rows.shape[1:]), like=rows)

    def scale_some(some: slice) -> None:
        multiply_modulo(take(rows, index[some]), residues[some], basis.moduli, out[some])

    for_each_group(scale_some, len(out), out, group=1)
    return out


class RunningSums:
    """Sums of products with integers that grow tile by tile, and are reduced once at the end.

    `add` computes total += weights^T rows without reducing: a sum of w residues is at most
    (sum |w|) bound(p), and only when the total could reach 2^53 it is reduced in between.

    For private use: `total` and `reduce` give the memory that the next `add` changes.

    Parameters
    ----------
    results : number M of sums
    shape : (parts, k, n) of a row
    moduli : the k primes
    """

    def __init__(self, results: int, shape: tuple[int, int, int], moduli: tuple[int, ...]) -> None:
        self.shape = (results, *shape)
        self._total: FloatArray | None = None  # made where the first rows are
        self.moduli = moduli
        self._largest = 0  # bound of |total|

    @property
    def total(self) -> FloatArray:
        """The sums, not reduced."""
        return np.zeros(self.shape) if self._total is None else self._total

    def add(self, rows: FloatArray, weights: IntArray) -> None:
        """Add weights^T rows; rows (K, parts, k, n) centred residues, weights int64 (K, M).

        Raises
        ------
        ParameterError
            If the weights are not integers of that shape.
        """
        shape = (len(rows), self.shape[0])
        if weights.dtype != np.int64 or weights.shape != shape:
            raise ParameterError(
                f"expected weights of shape {shape} and type int64, got {weights.shape} and "
                f"{weights.dtype}"
            )
        # As floats the weights do not overflow, nor does |-2^63|; the limit below has room for the
        # rounding of their sum.
        sizes = np.abs(weights.astype(np.float64)).sum(axis=0)
        largest_sum = int(sizes.max(initial=0)) * bound(max(self.moduli))
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
        w = np.asarray(np.ascontiguousarray(weights.T, dtype=np.float64), like=rows)
        if self._total is None:
            self._total = np.zeros(self.shape, like=rows)
        add_products(w, rows, self._total)

    def reduce(self) -> FloatArray:
        """Reduce the total in place to centred residues, and return it."""
        if self._total is None:
            return self.total
        parts = self._total.reshape(-1, *self.shape[2:])

        def reduce_some(some: slice) -> None:
            reduce_modulo(parts[some], self.moduli)

        for_each_group(reduce_some, len(parts), parts, group=1)
        self._largest = bound(max(self.moduli))
        return self._total


@by_place
def add_products(weights: FloatArray, rows: FloatArray, total: FloatArray) -> None:
    """Add weights (M, K) times rows (K, parts, k, n), not reduced."""
    _, parts, k, _ = rows.shape

    def one_prime_of_one_part(task: tuple[int, int]) -> None:
        i, part = task
        total[:, part, i] += weights @ rows[:, part, i]

    for_each(one_prime_of_one_part, product(range(k), range(parts)))
