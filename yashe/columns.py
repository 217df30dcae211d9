"""Weighted sums of squares of linear combinations, one prime and a few columns at a time.

In NTT form every operation of a network between two relinearisations is pointwise: value i of a
result depends on values i of the inputs only, prime by prime. So the computation

    h_j   = sum_i w_ij x_i + b_j            (two parts)
    h_j^2 = (h_j0^2, 2 h_j0 h_j1, h_j1^2)   (three parts)
    s_m   = sum_j v_jm h_j^2

can be carried through for a few columns before the next ones are touched. Nothing but x and s ever
stands in memory, what is in between stays in the cache, and it is nearly all matrix products. Only
schemes that keep ciphertexts in NTT form can do this: `yashe.bgv`.

Residues are reduced where the bound of `yashe.residues` needs it, and no earlier. With primes below
2^22.5 or so the sum of hundreds of squares with small weights is exact without any reduction of the
squares (`WeightedSum`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from yashe.ciphertext import Ciphertext
from yashe.encoding import encode_constant
from yashe.errors import FormError, ParameterError
from yashe.linear import WeightedSum
from yashe.noise import Bound
from yashe.parallel import for_each
from yashe.residues import FloatArray, IntArray, bound, reduce_inplace
from yashe.scheme import Scheme

COLUMNS = 256  # at a time: enough for long calls, few enough for the cache


@dataclass(frozen=True)
class Hidden:
    """Hidden units: one affine map, applied to several selections of the inputs.

    Attributes
    ----------
    inputs : int64 array, shape (P, K), numbers of inputs
    weight : int64 array, shape (K, M)
    bias : int64 array, shape (M,)
    """

    inputs: IntArray
    weight: IntArray
    bias: IntArray

    @property
    def size(self) -> int:
        """Number of units: P M, in C order."""
        return len(self.inputs) * len(self.bias)


class SquareLayer:
    """The computation of the module docstring, prepared for one array of ciphertexts.

    Parameters
    ----------
    scheme : Scheme in NTT form
    ct : Ciphertext of any shape, degree 1
    hidden : units, all of whose inputs are in ct
    weights : int64 array, shape (units, results)

    Attributes
    ----------
    hidden_bound, squared_bound : Bound of shape (units,)
    steps : blocks of columns of one prime
    """

    def __init__(
        self, scheme: Scheme, ct: Ciphertext, hidden: Sequence[Hidden], weights: IntArray
    ) -> None:
        if not scheme.ntt_form:
            raise FormError(f"{scheme.name} keeps no ciphertexts in NTT form")
        scheme.check_factors(ct, ct)
        units = sum(some.size for some in hidden)
        if weights.ndim != 2 or len(weights) != units:
            raise ParameterError(f"{units} units, but weights of shape {weights.shape}")
        params = scheme.params
        self.scheme, self.ct, self.weights = scheme, ct, encode_constant(params, weights)
        self.flat = ct.index.reshape(-1)
        self.columns = [slice(c, c + COLUMNS) for c in range(0, params.n, COLUMNS)]
        self.steps = params.k * len(self.columns)
        self.hidden = [
            replace(
                some,
                weight=encode_constant(params, some.weight),
                bias=encode_constant(params, some.bias),
            )
            for some in hidden
        ]
        added = scheme.plain_addition_bound(1)
        bounds = [  # a bias of zero adds nothing
            (ct.bound[self.flat[some.inputs]] @ some.weight + added * (some.bias != 0)).reshape(-1)
            for some in self.hidden
        ]
        self.hidden_bound = Bound.concatenate(bounds)
        self.squared_bound = scheme.product_bound(self.hidden_bound, self.hidden_bound)

    def sums(self) -> Ciphertext:
        """Return the sums s, an array of shape (results,) and degree 2.

        Raises
        ------
        NoiseBudgetExhausted, TransparentCiphertextError
            If a sum is too noisy, or depends on no ciphertext.
        """
        params, t = self.scheme.params, self.scheme.params.t
        out = np.empty((self.weights.shape[1], 3, params.k, params.n))
        modulo = [_ModuloPrime(self, i) for i in range(params.k)]
        for_each(
            lambda task: modulo[task[0]].fill(self.ct.rows, task[1], out),
            product(range(params.k), self.columns),
        )
        squared = replace(self.ct, factor=self.ct.factor**2 % t)
        total = self.squared_bound @ self.weights
        return squared.derive(out, total, total.shape, "a sum of squares", 2)


class _ModuloPrime:
    """The same modulo one prime, with everything that its blocks of columns have in common."""

    def __init__(self, layer: SquareLayer, i: int) -> None:
        params = layer.scheme.params
        self.i, self.p = i, params.moduli[i]
        self.taps = [layer.flat[some.inputs] for some in layer.hidden]
        self.linear = [WeightedSum(some.weight, self.p, bound(self.p)) for some in layer.hidden]
        self.bias = []
        for some in layer.hidden:
            messages = params.plaintext_ring.basis.decompose(some.bias)
            self.bias.append(layer.scheme.embedded(messages, layer.ct.factor)[i][:, None])
        self.units = len(layer.weights)
        # Squares are reduced only if their weighted sum would not be exact otherwise.
        self.dense = WeightedSum(layer.weights, self.p, bound(self.p) ** 2)
        self.reduced_first = not self.dense.exact
        if self.reduced_first:
            self.dense = WeightedSum(layer.weights, self.p, bound(self.p))

    def fill(self, rows: FloatArray, columns: slice, out: FloatArray) -> None:
        """Compute out[:, :, i, columns]."""
        p = self.p
        h_0, h_1 = (self._hidden(rows[:, part, self.i, columns], part) for part in (0, 1))
        squares = np.empty_like(h_0)
        for part, x, y in ((0, h_0, h_0), (1, h_0, h_1), (2, h_1, h_1)):
            np.multiply(x, y, out=squares)
            if self.reduced_first:
                reduce_inplace(squares, p, 1.0 / p, np.empty_like(squares))
            total = self.dense(squares)
            if part == 1:  # doubled here, where it is a residue again
                total *= 2
                reduce_inplace(total, p, 1.0 / p, np.empty_like(total))
            out[:, part, self.i, columns] = total

    def _hidden(self, x: FloatArray, part: int) -> FloatArray:
        """Return one part of all hidden units, residues (units, width)."""
        x = np.ascontiguousarray(x)
        h, start = np.empty((self.units, x.shape[-1])), 0
        for taps, linear, bias in zip(self.taps, self.linear, self.bias, strict=True):
            stop = start + len(taps) * len(bias)
            y = h[start:stop].reshape(len(taps), len(bias), -1)
            linear(np.take(x, taps, axis=0), out=y, offset=bias if part == 0 else None)
            start = stop
        return h
