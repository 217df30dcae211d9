"""Weighted sums of squares of linear combinations, one prime and a few columns at a time.

In NTT form every operation of a network between two relinearisations is pointwise: value i of a
result depends on values i of the inputs only, prime by prime. So the computation

    h_j   = sum_i w_ij x_i + b_j            (two parts)
    h_j^2 = (h_j0^2, 2 h_j0 h_j1, h_j1^2)   (three parts)
    s_m   = sum_j v_jm h_j^2 + c_m

can be carried through for a few columns before the next ones are touched. Nothing but x and s ever
stands in memory, what is in between stays in the cache, and it is nearly all matrix products. Only
schemes that keep ciphertexts in NTT form can do this: `yashe.schemes.bgv`.

Residues are reduced where the bound of `yashe.arithmetic.residues` needs it, and no earlier. With
primes below 2^22.5 or so the sum of hundreds of squares with small weights is exact without any
reduction of the squares (`WeightedSum`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from yashe.arithmetic.linear import WeightedSum
from yashe.arithmetic.parallel import for_each
from yashe.arithmetic.residues import FloatArray, IntArray, bound, reduce_inplace
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.noise import Bound
from yashe.ciphertexts.ranges import check_undeclared
from yashe.ciphertexts.slots import check_integers, encode_constant
from yashe.errors import FormError, ParameterError
from yashe.schemes.base import Scheme, check_scheme

COLUMNS = 256  # at a time: enough for long calls, few enough for the cache


@dataclass(frozen=True)
class Units:
    """Hidden units: one affine map, applied to several selections of the inputs.

    Attributes
    ----------
    inputs : int64 array, shape (P, K), numbers of inputs
    weight : int64 array, shape (K, M)
    bias : int64 array, shape (M,)

    Raises
    ------
    EncodingError
        If they are not integers.
    ParameterError
        If their shapes do not fit, or there is no unit or no input.
    """

    inputs: IntArray
    weight: IntArray
    bias: IntArray

    def __post_init__(self) -> None:
        for what in ("inputs", "weight", "bias"):
            array = check_integers(getattr(self, what), f"the {what} of hidden units")
            object.__setattr__(self, what, array)
        inputs, weight, bias = self.inputs.shape, self.weight.shape, self.bias.shape
        if len(inputs) != 2 or len(weight) != 2 or inputs[1:] + bias != weight:
            raise ParameterError(
                "hidden units need inputs (P, K), a weight (K, M) and a bias (M,), not arrays of "
                f"shapes {inputs}, {weight} and {bias}"
            )
        if 0 in inputs + weight:
            raise ParameterError(f"no hidden units, or none of their inputs: {inputs} and {weight}")

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
    hidden : units, one or more, all of whose inputs are in ct
    weights : integers, shape (units, results)
    constants : integers that are added to the sums, shape (results,), or one for all

    Attributes
    ----------
    hidden_bound, squared_bound : Bound of shape (units,)
    steps : blocks of columns of one prime

    Raises
    ------
    FormError
        If the scheme keeps its ciphertexts in coefficient form, or ct has degree 2.
    KeyMismatchError
        If ct belongs to another scheme or to other parameters.
    EncodingError
        If weights or constants are not integers.
    ParameterError
        If there are no units, inputs that are not in ct, or weights or constants of another shape.
    RangeError
        If ct has a declared range.
    """

    def __init__(
        self,
        scheme: Scheme,
        ct: Ciphertext,
        hidden: Sequence[Units],
        weights: Any,
        constants: Any = 0,
    ) -> None:
        check_scheme(scheme, Scheme)
        if not scheme.ntt_form:
            raise FormError(f"{scheme.name} keeps no ciphertexts in NTT form")
        scheme = scheme.scheme_of(ct)
        scheme.check_operands(ct, ct)
        check_undeclared(ct.within, "sums of squares")
        units, params = sum(some.size for some in hidden), scheme.params
        weights, constants = (encode_constant(params, x) for x in (weights, constants))
        if weights.ndim != 2 or len(weights) != units or not weights.size:
            raise ParameterError(f"{units} units, but weights of shape {weights.shape}")
        results = weights.shape[1:]
        if constants.shape not in ((), results):
            raise ParameterError(f"{results[0]} sums, but constants of shape {constants.shape}")
        for some in hidden:
            if not 0 <= some.inputs.min() <= some.inputs.max() < ct.size:
                raise ParameterError(
                    f"the inputs of hidden units are numbers from 0 to {ct.size - 1}, not "
                    f"{some.inputs.min()} to {some.inputs.max()}"
                )
        self.scheme, self.ct, self.weights = scheme, ct, weights
        self.constants = np.broadcast_to(constants, results)
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

    def __repr__(self) -> str:
        units, results = self.weights.shape
        return f"SquareLayer({self.scheme!r}, {units} units, {results} sums)"

    def sums(self) -> Ciphertext:
        """Return the sums s, an array of shape (results,) and degree 2.

        Raises
        ------
        NoiseBudgetExhausted, TransparentCiphertextError
            If a sum is too noisy, or depends on no ciphertext.
        """
        params, t = self.scheme.params, self.scheme.params.t
        out = np.empty((len(self.constants), 3, params.k, params.n))
        modulo = [_ModuloPrime(self, i) for i in range(params.k)]
        for_each(
            lambda task: modulo[task[0]].fill(self.ct.rows, task[1], out),
            product(range(params.k), self.columns),
        )
        squared = replace(self.ct, factor=self.ct.factor**2 % t)
        total = self.squared_bound @ self.weights
        total = total + self.scheme.plain_addition_bound(2) * (self.constants != 0)
        return squared.derive(out, total, total.shape, "a sum of squares", 2)


def _embedded(scheme: Scheme, constants: IntArray, factor: int) -> FloatArray:
    """Return what phases have to contain for constants (M,): residues (k, M)."""
    messages = scheme.params.plaintext_ring.basis.decompose(constants)
    return scheme.embedded(messages, factor)


class _ModuloPrime:
    """The same modulo one prime, with everything that its blocks of columns have in common."""

    def __init__(self, layer: SquareLayer, i: int) -> None:
        scheme, factor = layer.scheme, layer.ct.factor
        self.i, self.p = i, scheme.params.moduli[i]
        self.taps = [layer.flat[some.inputs] for some in layer.hidden]
        self.linear = [WeightedSum(some.weight, self.p, bound(self.p)) for some in layer.hidden]
        self.bias = [_embedded(scheme, some.bias, factor)[i][:, None] for some in layer.hidden]
        self.units = len(layer.weights)
        # Reduces the squares only if their weighted sum would not be exact otherwise.
        self.dense = WeightedSum(layer.weights, self.p, bound(self.p) ** 2)
        self.constants = _embedded(scheme, layer.constants, factor**2)[i][:, None]

    def fill(self, rows: FloatArray, columns: slice, out: FloatArray) -> None:
        """Compute out[:, :, i, columns]."""
        h_0, h_1 = (self._hidden(rows[:, part, self.i, columns], part) for part in (0, 1))
        squares = np.empty_like(h_0)
        for part, x, y in ((0, h_0, h_0), (1, h_0, h_1), (2, h_1, h_1)):
            total = self.dense(
                np.multiply(x, y, out=squares), offset=self.constants if part == 0 else None
            )
            if part == 1:  # doubled here, where it is a residue again
                total *= 2
                reduce_inplace(total, self.p, 1.0 / self.p, np.empty_like(total))
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
