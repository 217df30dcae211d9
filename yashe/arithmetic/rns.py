"""Residue number systems, and the one primitive that moves numbers between them.

A basis of k coprime odd primes with product Q represents the integers |x| < Q/2 by their centred
residues (x mod q_1, ..., x mod q_k). `rescale` maps them to another basis with a factor:

    rescale(x, source, target, ratio) = round(ratio * x) mod every target prime.

Encoding a message (ratio q/t), decryption (t/q), extension for a product (1), scaling a product
(t/q) and modulus switching (q'/q) are all calls of it. The formula generalises the floating-point
base conversion of Halevi, Polyakov and Shoup (ePrint 2018/117, section 2) to a rational ratio: with

    y_i = [x_i (Q/q_i)^-1]_(q_i),    v = round(sum_i y_i / q_i),    x = sum_i y_i Q/q_i - v Q,

split ratio Q/q_i = I_i + f_i and ratio Q = I + f into integers and fractions in [-1/2, 1/2]. Then

    round(ratio x) = sum_i y_i I_i - v I + round(sum_i y_i f_i - v f),

which is one small matrix product over all coefficients, exact in its integer rows. The fractions
are floating point with a known error; where a value lies closer to a half than that error, the
coefficient is computed again with Python integers. The result is therefore always exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yashe.arithmetic.blas import one_blas_thread
from yashe.arithmetic.devices import blocks, check, host, near
from yashe.arithmetic.residues import (
    FloatArray,
    canonical,
    check_exact_sum,
    column,
    multiply_modulo,
    reduce_modulo,
)
from yashe.errors import ParameterError


def centred(x: int, p: int) -> int:
    """Return the representative of x modulo an odd p in [-(p-1)/2, (p-1)/2]."""
    return (x + p // 2) % p - p // 2


@dataclass(frozen=True, repr=False)
class RnsBasis:
    """Coprime odd moduli q_1, ..., q_k below 2^24 and their product.

    Parameters
    ----------
    moduli : odd numbers in [3, 2^24), pairwise coprime

    Attributes
    ----------
    product : Q
    inverse_cofactors : (Q/q_i)^-1 mod q_i, which makes residues the y_i of the module docstring

    Raises
    ------
    ParameterError
        If they are not, or are so many that base changes could exceed 2^53.
    """

    moduli: tuple[int, ...]
    product: int = field(init=False, compare=False)
    inverse_cofactors: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not self.moduli:
            raise ParameterError("a basis needs at least one modulus")
        moduli, q = tuple(int(p) for p in self.moduli), math.prod(self.moduli)
        for p in moduli:
            # k + 1 products of a change of base, and one residue of slack for its rounded part
            check_exact_sum(p, len(moduli) + 2)
        if math.lcm(*moduli) != q:
            raise ParameterError(f"the moduli of a basis must be pairwise coprime: {moduli}")
        inverses = tuple(centred(pow(q // p, -1, p), p) for p in moduli)
        vars(self).update(moduli=moduli, product=q, inverse_cofactors=inverses)

    def __len__(self) -> int:
        return len(self.moduli)

    def __repr__(self) -> str:
        return f"RnsBasis({len(self)} primes, {math.log2(self.product):.1f} bits)"

    def decompose(self, values: Any) -> FloatArray:
        """Return the centred residues of integers of any size.

        Parameters
        ----------
        values : integers, array-like of shape (..., n): int64 or Python integers (dtype object)

        Returns
        -------
        float64 array, shape (..., k, n)

        Raises
        ------
        ParameterError
            If the values are not integers.
        """
        array = np.asarray(values)
        if array.dtype.kind in "iu":  # NumPy 2 takes narrow integers modulo narrow integers only
            array = array.astype(np.int64 if array.dtype.kind == "i" else np.uint64)
        elif array.dtype != object or not all(isinstance(x, int | np.integer) for x in array.flat):
            raise ParameterError(f"residues are taken of integers, not of {array.dtype} values")
        largest = max(int(array.max()), -int(array.min())) if array.size else 0
        if largest < 2**52:  # float64 holds them, and reduces them faster than integers are divided
            shape = (*array.shape[:-1], len(self), array.shape[-1])
            same: FloatArray = np.broadcast_to(array.astype(np.float64)[..., None, :], shape)
            if largest <= min(self.moduli) // 2:
                return np.array(same)
            return canonical(same, column(self.moduli))
        rows = [(array % p).astype(np.float64) for p in self.moduli]
        return canonical(np.stack(rows, axis=-2), column(self.moduli))

    def times(self, residues: FloatArray, factor: int) -> FloatArray:
        """Return factor * x, centred, for an integer of any size; new memory.

        Parameters
        ----------
        residues : float64 array, shape (..., k, n), absolute values below 2^29
        factor : any integer
        """
        factors = column(tuple(centred(factor % q, q) for q in self.moduli))
        product = np.empty(residues.shape, like=residues)
        multiply_modulo(residues, near(factors, residues), self.moduli, product)
        return product

    def compose(self, residues: FloatArray, kind: type = object) -> NDArray[Any]:
        """Return the centred integers |x| < Q/2, the inverse of `decompose`.

        Parameters
        ----------
        residues : float64 array, shape (..., k, n), absolute values below 2^29
        kind : object, for Python integers, or np.int64, which holds products Q below 2^62

        Returns
        -------
        array of this kind, shape (..., n)

        Raises
        ------
        ParameterError
            If the product is 2^62 or more, and they shall be int64.
        """
        if kind is not object and self.product >= 2**62:
            raise ParameterError(f"{self!r} does not fit into int64: take Python integers, object")
        y, _ = self.split(residues)
        total: NDArray[Any] = np.zeros(1, dtype=kind)
        for i, p in enumerate(self.moduli):
            y_i: NDArray[Any] = y[..., i, :].astype(np.int64).astype(kind)
            total = (total + y_i * (self.product // p)) % self.product
        found: NDArray[Any] = np.where(2 * total > self.product, total - self.product, total)
        return found

    def split(self, residues: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the y_i of the module docstring, and x / Q + v in floating point.

        Parameters
        ----------
        residues : float64 array, shape (..., k, n), for integers x of any size

        Returns
        -------
        y : float64 array, shape (..., k, n), centred residues: x = sum_i y_i Q/q_i modulo Q
        quotient : float64 array, shape (..., n), absolute error below (k + 2)^2 2^-30
        """
        y = np.empty(residues.shape, like=residues)
        multiply_modulo(residues, near(column(self.inverse_cofactors), y), self.moduli, y)
        quotient: FloatArray = (y / near(column(self.moduli), y)).sum(axis=-2)
        return y, quotient

    def fraction(self, residues: FloatArray) -> FloatArray:
        """Return x / Q - round(x / Q) in floating point, for integers x of any size.

        Parameters
        ----------
        residues : float64 array, shape (..., k, n)

        Returns
        -------
        float64 array, shape (..., n), in [-1/2, 1/2], absolute error below (k + 2)^2 2^-30
        """
        _, quotient = self.split(residues)
        return quotient - np.rint(quotient)


def _in_two(values: list[Fraction], bits: int) -> list[list[float]]:
    """Return two rows of floats that add up to the values: so many binary digits, and the rest."""
    first = [Fraction(round(value * 2**bits), 2**bits) for value in values]
    rest = [value - digits for value, digits in zip(values, first, strict=True)]
    return [[float(x) for x in row] for row in (first, rest)]


class Rescale:
    """The map x -> round(ratio * x) from one basis to another, with its constants.

    Ties go to the even integer, as in Python's round and in np.rint. Use `rescale`, which keeps
    these objects.
    """

    def __init__(self, source: RnsBasis, target: RnsBasis, ratio: Fraction) -> None:
        self.source, self.target, self.ratio = source, target, ratio
        check_exact_sum(max(source.moduli + target.moduli), len(source) + 2)
        q, k = source.product, len(source)
        factors = [ratio * (q // p) for p in source.moduli] + [-ratio * q]
        integers = [round(factor) for factor in factors]
        fractions = [factor - integer for factor, integer in zip(factors, integers, strict=True)]
        # One row per target prime: I_1, ..., I_k, and -I for the quotient v. Two for f_1, ..., f_k
        # and -f: multiples of 2^-b, whose products with |y_i|, |v| <= 2^23 + 1 add up to less than
        # (k + 2) 2^(22 + b) <= 2^52 such units, exactly; and rests of at most 2^-(b + 1).
        rows = [[float(centred(integer, p)) for integer in integers] for p in target.moduli]
        b = 30 - (k + 2).bit_length()
        ratios = np.array([*rows, *_in_two(fractions, b)])
        # The quotient, sum_i y_i / q_i, in two parts as well.
        inverses = [Fraction(1, p) for p in source.moduli]
        quotient = np.array(_in_two(inverses, 53 - (k + 2).bit_length()))
        self._constants = column(source.inverse_cofactors), quotient, ratios
        # What is not exact is the sum of the rests, below (k + 2) 2^(22 - b) <= (k + 2)^2 2^-7. It
        # is off by less than (k + 3) 2^-53 times that, and by 2^-54 when it is added.
        self._safe = 0.5 - (k + 2) ** 3 * 2.0**-57

    @one_blas_thread
    def __call__(self, x: FloatArray) -> FloatArray:
        """Return round(ratio * x) in the target basis.

        Parameters
        ----------
        x : float64 array, shape (..., k_source, n), centred residues

        Returns
        -------
        float64 array, shape (..., k_target, n), centred residues. New memory.
        """
        k, n = len(self.source), x.shape[-1]
        if x.ndim < 2 or x.shape[-2] != k:
            raise ParameterError(f"expected residues of shape (..., {k}, n), got {x.shape}")
        if not x.size:
            return np.empty((*x.shape[:-2], len(self.target), n), like=x)
        rows = x.reshape(-1, k, n)
        out = np.empty((len(rows), len(self.target), n), like=x)
        column_bytes = 8 * (k + len(self.target))
        for top in blocks(len(rows), n * column_bytes, x):
            for left in blocks(n, column_bytes, x):
                self._convert(rows[top, :, left], out[top, :, left])
        return out.reshape(*x.shape[:-2], len(self.target), n)

    def _convert(self, x: FloatArray, out: FloatArray) -> None:
        """Convert one block: x (b, k_source, w), out (b, k_target, w)."""
        k, k_target, height, width = len(self.source), len(self.target), len(x), x.shape[-1]
        terms = np.empty((height, k + 1, width), like=x)  # y_1, ..., y_k and v
        scratch = np.empty((height, max(k, k_target), width), like=x)
        y = terms[:, :k]
        factors, inverses, ratios = (near(m, x) for m in self._constants)
        multiply_modulo(x, factors, self.source.moduli, y, scratch[:, :k])  # |.| < 2^47
        quotient = np.matmul(inverses, y)
        v = np.rint(quotient[:, 0] + quotient[:, 1], out=terms[:, k])
        off = quotient[:, 0] - v
        off += quotient[:, 1]
        sums = np.matmul(ratios, terms)
        result, fraction, rest = sums[:, :k_target], sums[:, k_target], sums[:, k_target + 1]
        rounded = np.rint(fraction)
        fraction -= rounded
        rest += fraction
        nearest = np.rint(rest, out=fraction)
        rounded += nearest
        result += rounded[:, None]
        reduce_modulo(result, self.target.moduli, scratch[:, :k_target])
        out[...] = result
        rest -= nearest
        doubtful = np.maximum(np.abs(rest, out=rest), np.abs(off, out=off)) > self._safe

        def compute_again() -> None:
            for row, at in host(np.argwhere(doubtful)).tolist():
                exact = self._exactly(host(x[row, :, at : at + 1]))
                out[row, :, at] = np.asarray(exact, like=x)

        check(doubtful.any(), compute_again)

    def _exactly(self, x: FloatArray) -> FloatArray:
        """Return the result for one coefficient, x (k_source, 1), with Python integers."""
        value = round(self.ratio * self.source.compose(x)[0])
        return self.target.decompose(np.array([value], dtype=object))[:, 0]


_rescale = lru_cache(maxsize=256)(Rescale)


def rescale(
    x: FloatArray, source: RnsBasis, target: RnsBasis, ratio: Fraction | int = 1
) -> FloatArray:
    """Return round(ratio * x) in the target basis, exactly, ties to even.

    Parameters
    ----------
    x : float64 array, shape (..., k_source, n), centred residues
        Standing for the integers |x| < Q/2.
    source, target : bases; they may share primes
    ratio : any rational number

    Returns
    -------
    float64 array, shape (..., k_target, n), centred residues. New memory.

    Raises
    ------
    ParameterError
        If the shape does not fit the source basis.

    Examples
    --------
    round(2/3 * 5) = 3 from residues modulo 17 to residues modulo 41:

    >>> rescale(np.array([[5.0]]), RnsBasis((17,)), RnsBasis((41,)), Fraction(2, 3))
    array([[3.]])
    """
    return _rescale(source, target, Fraction(ratio))(x)
