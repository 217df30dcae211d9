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
(1990) with the twist of the negacyclic case folded into A and T. It costs n (n1 + n2)
multiplications where butterflies cost n log2(n) / 2, and is the faster one here: matrix products
run at the full speed of the machine (`yashe.residues` says why they are exact). The butterflies are
in `yashe.textbook`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from yashe.errors import ParameterError
from yashe.primes import check_degree, ntt_shape, root_of_unity
from yashe.residues import (
    FloatArray,
    blocks,
    canonical,
    check_matrix_product_is_exact,
    reduce_inplace,
)

# left, twist and right factor of a transform modulo one prime
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
        self._forward: list[Steps] = []
        self._inverse: list[Steps] = []
        for psi, p in zip(self.psi, moduli, strict=True):
            self._forward.append(self._matrices(psi, 1, p))
            a, t, w = self._matrices(pow(psi, -1, p), pow(n, -1, p), p)
            self._inverse.append(tuple(np.ascontiguousarray(m.T) for m in (w, t, a)))

    def _matrices(self, psi: int, factor: int, p: int) -> Steps:
        """Return factor * A, T and W of the module docstring."""
        n, n1, n2 = self.n, self.n1, self.n2
        k1, k2 = np.arange(n1, dtype=np.int64)[:, None], np.arange(n2, dtype=np.int64)[:, None]
        powers = np.ones(1, dtype=np.int64)  # psi^0, psi^1, ..., psi^(2n-1), by doubling
        while len(powers) < 2 * n:
            powers = np.concatenate([powers, powers * pow(psi, len(powers), p) % p])
        a = powers[(2 * k1 + 1) * n2 * k1.T % (2 * n)] * factor
        t = powers[(2 * k1 + 1) * k2.T % (2 * n)]
        w = powers[2 * n1 * k2 * k2.T % (2 * n)]
        return tuple(canonical(m.astype(np.float64), p) for m in (a, t, w))

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
        return self._transform(a, self._forward, self.n1)

    def intt(self, values: FloatArray) -> FloatArray:
        """Interpolate: the inverse of `ntt`, the same three lines backwards.

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
        return self._transform(values, self._inverse, self.n2)

    def ntt_modulo(self, i: int, a: FloatArray) -> FloatArray:
        """Evaluate polynomials modulo the i-th prime only.

        Parameters
        ----------
        i : number of the prime
        a : float64 array, shape (..., n), absolute values of residues modulo any prime that fits n

        Returns
        -------
        float64 array, shape (..., n), centred residues modulo the i-th prime. New memory.
        """
        rows = np.ascontiguousarray(a).reshape(-1, self.n)
        out = np.empty_like(rows)
        self._transform_rows(rows, self.moduli[i], self._forward[i], self.n1, out)
        return out.reshape(a.shape)

    def _transform(self, a: FloatArray, steps: list[Steps], height: int) -> FloatArray:
        """Transform all rows modulo all primes."""
        k, n = len(self.moduli), self.n
        if a.ndim < 2 or a.shape[-2:] != (k, n):
            raise ParameterError(f"expected residues of shape (..., {k}, {n}), got {a.shape}")
        x = a.astype(np.float64, copy=False).reshape(-1, k, n)
        out = np.empty_like(x)
        for i, p in enumerate(self.moduli):
            self._transform_rows(x[:, i], p, steps[i], height, out[:, i])
        return out.reshape(a.shape)

    def _transform_rows(
        self, x: FloatArray, p: int, steps: Steps, height: int, out: FloatArray
    ) -> None:
        """Write right (left X * twist)^T for every row of x, seen as a matrix X of `height` rows.

        A block of rows of one prime, and that prime's matrices, stay in the cache together.
        """
        n, (left, twist, right) = self.n, steps
        for rows in blocks(len(x), 8 * n):
            source = x[rows].reshape(-1, height, n // height)
            y, scratch = np.empty_like(source), np.empty_like(source)
            np.matmul(left, source, out=y)
            reduce_inplace(y, p, 1.0 / p, scratch)
            np.multiply(y, twist, out=y)
            reduce_inplace(y, p, 1.0 / p, scratch)
            z = scratch.reshape(-1, n // height, height)
            np.matmul(right, y.transpose(0, 2, 1), out=z)
            reduce_inplace(z, p, 1.0 / p, y.reshape(z.shape))
            out[rows] = z.reshape(-1, n)
