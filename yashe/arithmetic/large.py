"""What a GPU does in another way, still in NumPy's words: few calls, and large ones.

A call of a GPU costs as much as some 10^5 multiplications, and additions are dearer there than
products, which run on units of their own. So it has the time for the zeros that make many small
products to one (`spread`); small weights are the same modulo all primes (`at_once`); a transform
has no level of butterflies, but takes W as it is; and a loop is done in few steps.

The functions have the names of those that they stand for (`yashe.arithmetic.devices.by_place`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from yashe.arithmetic.devices import blocks, near, on_host, take
from yashe.arithmetic.linear import WeightedSum
from yashe.arithmetic.ntt import Ntt
from yashe.arithmetic.parallel import for_each, workers
from yashe.arithmetic.residues import (
    FloatArray,
    IntArray,
    bound,
    moduli_and_inverses,
    reduce_inplace,
    twist_modulo,
)
from yashe.arithmetic.rns import RnsBasis

WINDOW = 128  # results of a product with zeros: more of them take more zeros
ZEROS = 16  # so many times as many terms as there are weights may be in it


def moduli_near(moduli: tuple[int, ...], x: FloatArray) -> tuple[Any, Any]:
    """Return p and 1/p where x is: columns, or numbers for a single prime."""
    p, inverse = moduli_and_inverses(moduli)
    return near(p, x), near(inverse, x)


def reduce_modulo(
    x: FloatArray, moduli: tuple[int, ...], scratch: FloatArray | None = None
) -> None:
    """Reduce integers of shape (..., k, n) in place, all primes at once."""
    reduce_inplace(x, *moduli_near(moduli, x), scratch)


def dot(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the sums over i of x[..., i, :, :] y[i]; `einsum` would move axes first."""
    sums: FloatArray = (x * y).sum(axis=-3)
    return sums


def at_once(weights: IntArray, moduli: tuple[int, ...], x: FloatArray) -> list[slice]:
    """Return which primes are computed at once where x is, for sums with these weights (K, M).

    One on a processor, whose residues stay in the cache. Elsewhere all of them, if the weights are
    small enough to be the same residues for all, even those of one input added up.
    """
    each = [slice(i, i + 1) for i in range(len(moduli))]
    if on_host(x):
        return each
    largest = np.abs(weights.astype(np.float64)).sum(axis=0).max(initial=0)
    return [slice(0, len(moduli))] if largest <= min(moduli) // 2 else each


def spread(index: IntArray, weights: IntArray) -> tuple[IntArray, IntArray]:
    """Return an index (1, K') and weights (K', P * M) with zeros that give the same sums.

    K' is from the first input to the last one, which is no copy of them. Or both are as they were,
    if there would be too many zeros.

    Parameters
    ----------
    index : int64 array, shape (P, K)
    weights : int64 array, shape (K, M), whose columns can be summed without overflow

    Examples
    --------
    x_0 + 5 x_1 and x_1 + 5 x_2 are one product with three inputs:

    >>> index, weights = spread(np.array([[0, 1], [1, 2]]), np.array([[1], [5]]))
    >>> index.tolist(), weights.T.tolist()
    ([[0, 1, 2]], [[1, 5, 0], [0, 1, 5]])
    """
    (positions, terms), results = index.shape, weights.shape[1]
    low, high = int(index.min()), int(index.max()) + 1
    if positions == 1 or high - low > ZEROS * terms:
        return index, weights
    dense = np.zeros((high - low, positions, results), dtype=np.int64)
    np.add.at(dense, (index - low, np.arange(positions)[:, None]), weights)
    return np.arange(low, high, dtype=np.int64)[None], dense.reshape(high - low, -1)


def combine(
    rows: FloatArray, index: IntArray, weights: IntArray, moduli: tuple[int, ...]
) -> FloatArray:
    """Return linear combinations, in few products with zeros."""
    out = np.empty((len(index), weights.shape[1], *rows.shape[1:]), like=rows)
    step = max(1, WINDOW // weights.shape[1])
    for primes in at_once(weights, moduli, rows):
        p = moduli[primes]
        residues = RnsBasis(p).decompose(weights)[:, 0].astype(np.int64)
        for start in range(0, len(index), step):
            taps, w = spread(index[start : start + step], residues)
            sums = WeightedSum(w, p, bound(max(p)))
            for part in range(rows.shape[1]):
                x = take(rows[:, part, primes], taps)
                y = out[start : start + step, :, part, primes]
                y[...] = sums(x.reshape(*taps.shape, -1)).reshape(y.shape)
    return out.reshape(-1, *rows.shape[1:])


def add_products(weights: FloatArray, rows: FloatArray, total: FloatArray) -> None:
    """Add weights times rows in one product."""
    total += (weights @ rows.reshape(len(rows), -1)).reshape(total.shape)


@lru_cache(maxsize=64)
def _matrices(transform: Ntt) -> tuple[FloatArray, FloatArray]:
    """Return W and its inverse for all primes."""

    def joined(even: FloatArray, odd: FloatArray) -> FloatArray:
        rows = np.stack([np.concatenate([even, even], -1), np.concatenate([odd, -odd], -1)], -2)
        return rows.reshape(len(transform.moduli), transform.n2, transform.n2)

    backwards = joined(*(m.swapaxes(-1, -2) for m in transform.inverse[2:]))
    return joined(*transform.forward[2:]), np.ascontiguousarray(backwards.swapaxes(-1, -2))


def evaluate(transform: Ntt, x: FloatArray, primes: slice, out: FloatArray) -> None:
    """Write the values of polynomials modulo some primes, as `Ntt.evaluate`."""
    w = _matrices(transform)[0]
    a, t, w = (near(m, x)[primes] for m in (*transform.forward[:2], w))
    (b, count), n1, n2 = out.shape[:2], transform.n1, transform.n2
    y = np.empty((b, count, n1, n2), like=x)
    np.matmul(a, x.reshape(b, -1, n1, n2), out=y)
    rows, moduli = y.reshape(out.shape), transform.moduli[primes]
    twist_modulo(rows, t.reshape(out.shape[1:]), moduli, out)
    np.matmul(w, y.swapaxes(-1, -2), out=out.reshape(b, count, n2, n1))
    reduce_modulo(out, moduli, rows)


def interpolate(transform: Ntt, values: FloatArray, primes: slice, out: FloatArray) -> None:
    """Write the polynomials with these values, the lines of `evaluate` backwards."""
    w = _matrices(transform)[1]
    a, t, w = (near(m, values)[primes] for m in (*transform.inverse[:2], w))
    (b, count), n1, n2 = out.shape[:2], transform.n1, transform.n2
    y = np.matmul(w, values.reshape(b, count, n2, n1))
    rows, moduli = y.reshape(out.shape), transform.moduli[primes]
    twist_modulo(rows, t.reshape(out.shape[1:]), moduli, out)
    np.matmul(a, y.swapaxes(-1, -2), out=out.reshape(b, count, n1, n2))
    reduce_modulo(out, moduli, rows)


def for_each_group(
    body: Callable[[slice], None],
    count: int,
    results: Any,
    group: int | None = None,
    told: bool = True,
) -> None:
    """Call body(slice) for as many of `count` items as memory has room for, one after the other."""
    with workers(1):  # threads of a processor would fill it, each with its own
        some = blocks(count, results.nbytes // max(1, count), results)
        for_each(body, some, lambda part: (part.stop - part.start) * told)


CHOSEN = (reduce_modulo, dot, combine, add_products, evaluate, interpolate, for_each_group)
WAYS: dict[str, Callable[..., Any]] = {way.__name__: way for way in CHOSEN}
