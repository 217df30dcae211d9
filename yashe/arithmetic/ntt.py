"""The negacyclic number-theoretic transform as two matrix products.

A polynomial a of degree < n is evaluated at the odd powers of psi, a primitive 2n-th root of unity:

    ntt(a)[k] = sum_j a_j psi^((2k+1) j) mod p,        k = 0 .. n-1 (natural order).

There X^n = -1, so products of evaluations are evaluations of the product in Z_p[X]/(X^n + 1).
Write n = n1 n2, j = j1 n2 + j2 and k = k1 + n1 k2. Then

    psi^((2k+1) j) = psi^((2 k1 + 1) n2 j1) * psi^((2 k1 + 1) j2) * psi^(2 n1 k2 j2)

because the missing factor psi^(2 n1 n2 k2 j1) is 1. With the coefficients as a matrix X (n1 x n2):

    Y = A X          A[k1, j1] = psi^((2 k1 + 1) n2 j1)
    Y = Y * T        T[k1, j2] = psi^((2 k1 + 1) j2)         (entry by entry)
    Z = W Y^T        W[k2, j2] = psi^(2 n1 k2 j2)

and Z, read row by row, is the result in natural order. This is the "four-step" transform of Bailey
(1990) with the twist of the negacyclic case folded into A and T. Matrix products run at the full
speed of the machine (`yashe.arithmetic.residues` says why they are exact), so that this is faster
than log2(n) levels of butterflies, which need fewer multiplications; those are in `yashe.textbook`.

One level of butterflies pays, the first one of the larger product. In its even rows k2 = 2 k the
columns j2 and j2 + n2/2 of W are equal, in its odd rows they are opposite. With the left half L and
the right half R of Y, and half of W's columns,

    Z[0::2] = W[0::2, :n2/2] (L + R)^T,        Z[1::2] = W[1::2, :n2/2] (L - R)^T,

which costs half the multiplications. The inverse goes back the same way: two products of even and
odd rows, whose sum and difference are the two halves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from yashe.arithmetic.blas import one_blas_thread
from yashe.arithmetic.devices import CACHE_BYTES, blocks, by_place
from yashe.arithmetic.primes import check_degree, ntt_shape, root_of_unity
from yashe.arithmetic.residues import (
    FloatArray,
    canonical,
    check_matrix_product_is_exact,
    reduce_modulo,
    twist_modulo,
)
from yashe.errors import ParameterError

# A, T, and the even and odd rows of W's left half, for all primes: shape (k, rows, columns)
Steps: TypeAlias = tuple[FloatArray, ...]


class Ntt:
    """The transforms of degree n modulo each of k primes.

    Parameters
    ----------
    n : ring degree, power of two in [4, 32768]
    moduli : primes = 1 (mod 2n)

    Raises
    ------
    ParameterError
        If a prime does not fit n, or is so large that a sum of the transform could exceed 2^53.
    ExactnessError
        If this machine's matrix product is not exact.
    """

    def __init__(self, n: int, moduli: tuple[int, ...]) -> None:
        check_degree(n)
        check_matrix_product_is_exact()
        self.n = n
        self.moduli = moduli
        self.n1, self.n2 = ntt_shape(n)
        # Refuses primes for which sums of n2 >= n1 products, the longest here, may exceed 2^53.
        self.psi = tuple(root_of_unity(n, p) for p in moduli)
        forward, inverse = [], []
        for psi, p in zip(self.psi, moduli, strict=True):
            forward.append(self._matrices(psi, 1, p))
            backwards = self._matrices(pow(psi, -1, p), pow(n, -1, p), p)
            inverse.append([m.T for m in backwards])
        self.forward: Steps = tuple(np.stack(m) for m in zip(*forward, strict=True))
        self.inverse: Steps = tuple(np.stack(m) for m in zip(*inverse, strict=True))

    def __repr__(self) -> str:
        return f"Ntt(n={self.n}, {len(self.moduli)} primes)"

    def _matrices(self, psi: int, factor: int, p: int) -> Steps:
        """Return factor * A, T, and W[0::2, :n2/2] and W[1::2, :n2/2] of the module docstring."""
        n, n1, n2 = self.n, self.n1, self.n2
        k1, k2 = np.arange(n1, dtype=np.int64)[:, None], np.arange(n2, dtype=np.int64)[:, None]
        powers = np.ones(1, dtype=np.int64)  # psi^0, psi^1, ..., psi^(2n-1), by doubling
        while len(powers) < 2 * n:
            powers = np.concatenate([powers, powers * pow(psi, len(powers), p) % p])
        a = powers[(2 * k1 + 1) * n2 * k1.T % (2 * n)] * factor
        t = powers[(2 * k1 + 1) * k2.T % (2 * n)]
        w = powers[2 * n1 * k2 * k2.T[:, : n2 // 2] % (2 * n)]
        return tuple(canonical(m.astype(np.float64), p) for m in (a, t, w[0::2], w[1::2]))

    def ntt(self, a: FloatArray) -> FloatArray:
        """Evaluate polynomials at the odd powers of psi.

        Parameters
        ----------
        a : float64 array, shape (..., k, n), centred residues
            Coefficients, lowest degree first; leading axes are a batch.

        Returns
        -------
        float64 array, shape (..., k, n), centred residues
            Entry j of row i is a(psi_i^(2j+1)) mod q_i. New memory.

        Raises
        ------
        ParameterError
            If the last two axes are not (k, n).

        Examples
        --------
        Modulo 17, psi = 9 has the odd powers 9, -2, 8, 2; 1 + X is 10 = -7, -1, 9 = -8, 3 there:

        >>> Ntt(4, (17,)).ntt(np.array([[1.0, 1.0, 0.0, 0.0]]))
        array([[-7., -1., -8.,  3.]])
        """
        return self._each_prime(a, self.evaluate)

    def intt(self, values: FloatArray) -> FloatArray:
        """Interpolate: the inverse of `ntt`, the same lines backwards.

        Parameters
        ----------
        values : float64 array, shape (..., k, n), centred residues
            Evaluations at the odd powers of psi, in natural order.

        Returns
        -------
        float64 array, shape (..., k, n), centred residues
            Coefficients, lowest degree first. New memory.

        Raises
        ------
        ParameterError
            If the last two axes are not (k, n).
        """
        return self._each_prime(values, self.interpolate)

    @one_blas_thread
    def ntt_modulo(self, primes: slice, a: FloatArray) -> FloatArray:
        """Evaluate polynomials modulo some of the primes only.

        Parameters
        ----------
        primes : numbers of the primes
        a : float64 array, shape (..., k, n), or (..., 1, n) if it is the same for all primes;
            absolute values of residues modulo any prime that fits n

        Returns
        -------
        float64 array, shape (..., number of primes, n), centred residues. New memory.
        """
        count = len(range(len(self.moduli))[primes])
        x = (a if a.shape[-2] == 1 else a[..., primes, :]).reshape(
            -1, min(a.shape[-2], count), self.n
        )
        out = np.empty((len(x), count, self.n), like=a)
        for rows in blocks(len(x), 8 * self.n * count, a):
            self.evaluate(x[rows], primes, out[rows])
        return out.reshape(*a.shape[:-2], count, self.n)

    @one_blas_thread
    def _each_prime(
        self, a: FloatArray, transform: Callable[[FloatArray, slice, FloatArray], None]
    ) -> FloatArray:
        """Transform all rows; a block of rows of one prime stays in the cache with its matrices."""
        k, n = len(self.moduli), self.n
        if a.ndim < 2 or a.shape[-2:] != (k, n):
            raise ParameterError(f"expected residues of shape (..., {k}, {n}), got {a.shape}")
        x = a.astype(np.float64, copy=False).reshape(-1, k, n)
        out = np.empty(x.shape, like=x)
        for primes in blocks(k, CACHE_BYTES, x):
            for rows in blocks(len(x), 8 * n * (primes.stop - primes.start), x):
                transform(x[rows, primes], primes, out[rows, primes])
        return out.reshape(a.shape)

    @by_place
    def evaluate(self, x: FloatArray, primes: slice, out: FloatArray) -> None:
        """Write the values of polynomials modulo some primes, as in the module docstring.

        x has shape (b, primes, n), like out, or (b, 1, n) if it is the same for all of them.
        """
        a, t, even, odd = (m[primes] for m in self.forward)
        (b, count), n1, n2 = out.shape[:2], self.n1, self.n2
        other = np.empty(out.shape)  # of two buffers, which take turns
        y, z = out.reshape(b, count, n1, n2), out.reshape(b, count, n2, n1)
        np.matmul(a, x.reshape(b, -1, n1, n2), out=y)
        rows, p = y.reshape(out.shape), self.moduli[primes]
        twist_modulo(rows, t.reshape(out.shape[1:]), p, other)
        left, right = y[..., : n2 // 2], y[..., n2 // 2 :]
        halves = other.reshape(b, count, 2, n1, n2 // 2)
        total, difference = halves[:, :, 0], halves[:, :, 1]
        np.add(left, right, out=total)
        np.subtract(left, right, out=difference)
        np.matmul(even, total.swapaxes(-1, -2), out=z[..., 0::2, :])
        np.matmul(odd, difference.swapaxes(-1, -2), out=z[..., 1::2, :])
        reduce_modulo(out, p, other)

    @by_place
    def interpolate(self, values: FloatArray, primes: slice, out: FloatArray) -> None:
        """Write the polynomials with these values, the lines of `evaluate` backwards."""
        a, t, even, odd = (m[primes] for m in self.inverse)
        (b, count), n1, n2 = out.shape[:2], self.n1, self.n2
        z, half = values.reshape(b, count, n2, n1), n2 // 2
        y = np.empty((b, count, n2, n1))
        from_even, from_odd = np.empty((2, b, count, half, n1))
        np.matmul(even, z[..., 0::2, :], out=from_even)
        np.matmul(odd, z[..., 1::2, :], out=from_odd)
        np.add(from_even, from_odd, out=y[..., :half, :])
        np.subtract(from_even, from_odd, out=y[..., half:, :])
        rows, p = y.reshape(out.shape), self.moduli[primes]
        twist_modulo(rows, t.reshape(out.shape[1:]), p, out)
        np.matmul(a, y.swapaxes(-1, -2), out=out.reshape(b, count, n1, n2))
        reduce_modulo(out, p, rows)
